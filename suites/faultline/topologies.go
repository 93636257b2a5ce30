package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
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
	fmt.Fprintln(out, "TOPOLOGY\tHOSTS AND MEMBERS\tDISKS\tSINGLE POINTS OF FAILURE\tMEMORY\tSOURCE")
	for _, t := range clusters.Documented() {
		points := strings.Join(t.SinglePoints(), ", ")
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%.1f GiB\t%s\n", t.Name, hostsText(t), orNone(disksText(t)), orNone(points),
			float64(t.MemoryBytes())/(1<<30), t.Source)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	fmt.Println("\nnot built:")
	for _, a := range clusters.AbsentLayouts() {
		fmt.Printf("%s (%s): %s\n", a.Name, a.Source, a.Reason)
	}
	return nil
}

func orNone(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// hostsText tells which members are on which host; hosts that are alike share a place.
func hostsText(t clusters.Topology) string {
	var names, contents []string
	for _, h := range t.Hosts {
		content := membersText(t, h)
		if n := len(contents) - 1; n >= 0 && contents[n] == content {
			names[n] += "," + h.Name
			continue
		}
		names, contents = append(names, h.Name), append(contents, content)
	}
	for n, content := range contents {
		contents[n] = names[n] + ": " + content
	}
	return strings.Join(contents, "; ")
}

// membersText counts the members of each kind on a host.
func membersText(t clusters.Topology, h clusters.Host) string {
	var kinds []string
	counts := map[string]int{}
	for _, m := range h.Members {
		kind := string(m.Role)
		if m.Components != nil {
			kind += " (" + componentsText(t.Components(m)) + ")"
		}
		if counts[kind]++; counts[kind] == 1 {
			kinds = append(kinds, kind)
		}
	}
	for n, kind := range kinds {
		if counts[kind] > 1 {
			kinds[n] = fmt.Sprintf("%d %s", counts[kind], kind)
		}
	}
	return strings.Join(kinds, " + ")
}

func componentsText(components []clusters.Component) string {
	var texts []string
	counts := map[clusters.Component]int{}
	for _, c := range components {
		counts[c]++
	}
	for _, c := range slices.Compact(slices.Clone(components)) {
		texts = append(texts, fmt.Sprintf("%d %s", counts[c], c))
	}
	return strings.Join(texts, ", ")
}

// disksText tells the disks of each host.
func disksText(t clusters.Topology) string {
	var disks []string
	for _, h := range t.Hosts {
		for _, d := range h.Disks {
			text := h.Name + "/" + d.Name
			if d.Mirrored {
				text += " (mirror of 2)"
			}
			disks = append(disks, text)
		}
	}
	return strings.Join(disks, ", ")
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
	describe(e, c)
	return c.Close()
}

// refuseSecond keeps the cluster that is up already.
func refuseSecond(ctx context.Context, e *engine.Engine) error {
	name := kind.ClusterName(upRun, 1)
	exists, err := kind.ClusterExists(ctx, e, name)
	if err == nil && exists {
		err = fmt.Errorf("cluster %s is up already; end it first, with: make down", name)
	}
	return err
}

// describe tells a person what there is and how to reach it.
func describe(e *engine.Engine, c *clusters.Cluster) {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "NODE\tHOST\tROLE\tADDRESS")
	for _, n := range c.Nodes {
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", n.Name, n.Host, n.Role, n.Address)
	}
	_ = out.Flush()
	if c.Kubeconfig != "" {
		fmt.Printf("\nexport KUBECONFIG=%s\n", c.Kubeconfig)
	} else {
		member := c.EtcdMembers()[0].Node
		fmt.Printf("\netcd alone; ask it with: %s\n", strings.Join(kind.EtcdctlCommand(e, member, "member", "list", "-w", "table"), " "))
	}
	fmt.Println("end it with: make down")
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
