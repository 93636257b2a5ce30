package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"faultline/clusters"
	"faultline/clusters/engine"
	"faultline/clusters/images"
	"faultline/clusters/kind"
	"faultline/clusters/progress"
	"faultline/suites/rundir"
)

// topologies lists every documented layout.
func topologies(context.Context) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "TOPOLOGY\tHOSTS\tSINGLE POINTS OF FAILURE\tMEMORY\tSOURCE")
	for _, t := range clusters.Documented() {
		points := strings.Join(t.SinglePoints(), ", ")
		fmt.Fprintf(out, "%s\t%s\t%s\t%.1f GiB\t%s\n", t.Name, hostsText(t), points, float64(t.MemoryBytes())/(1<<30), t.Source)
	}
	return out.Flush()
}

// hostsText tells which members are on which host.
func hostsText(t clusters.Topology) string {
	var hosts []string
	for _, h := range t.Hosts {
		var roles []string
		for _, m := range h.Members {
			roles = append(roles, string(m.Role))
		}
		hosts = append(hosts, h.Name+": "+strings.Join(roles, " + "))
	}
	return strings.Join(hosts, "; ")
}

// upRun is the run of the one cluster that a person keeps.
const upRun = "up"

// up creates a cluster for a person, who ends it with down.
func up(ctx context.Context) error {
	topology, err := clusters.Find(os.Getenv("TOPOLOGY"))
	if err != nil {
		return fmt.Errorf("TOPOLOGY: %w", err)
	}
	timing, err := clusters.TimingFromEnv()
	if err != nil {
		return err
	}
	p := progress.New(os.Stdout)
	e, err := engine.Ensure(ctx, engine.Options{Progress: p})
	if err != nil {
		return err
	}
	if err := refuseSecond(ctx, e); err != nil {
		return err
	}
	set, err := images.Ensure(ctx, e, p)
	if err != nil {
		return err
	}
	state, err := rundir.State(upRun)
	if err != nil {
		return err
	}
	c, err := kind.Create(ctx, kind.Options{
		Topology: topology, Timing: timing, Engine: e, Images: set, Run: upRun, Sequence: 1, Dir: state, Progress: p,
	})
	if err != nil {
		return errors.Join(err, kind.DeleteNetwork(context.WithoutCancel(ctx), e, upRun), os.RemoveAll(state))
	}
	describe(c)
	return c.Close()
}

// refuseSecond keeps the cluster that is up already.
func refuseSecond(ctx context.Context, e *engine.Engine) error {
	name := kind.ClusterName(upRun, 1)
	exists, err := kind.Exists(ctx, e, name+"-control-plane")
	if err == nil && exists {
		err = fmt.Errorf("cluster %s is up already; end it first, with: make down", name)
	}
	return err
}

// describe tells a person what there is and how to reach it.
func describe(c *clusters.Cluster) {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "NODE\tHOST\tROLE\tADDRESS")
	for _, n := range c.Nodes {
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", n.Name, n.Host, n.Role, n.Address)
	}
	_ = out.Flush()
	fmt.Printf("\nexport KUBECONFIG=%s\nend it with: make down\n", c.Kubeconfig)
}

// down ends what up created.
func down(ctx context.Context) error {
	state, err := rundir.State(upRun)
	if err != nil {
		return err
	}
	e, err := engine.Detect(ctx)
	if err != nil {
		return err
	}
	if err := kind.Delete(ctx, e, kind.ClusterName(upRun, 1), state); err != nil {
		return err
	}
	return errors.Join(kind.DeleteNetwork(ctx, e, upRun), os.RemoveAll(state))
}
