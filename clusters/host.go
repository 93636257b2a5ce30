package clusters

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Host lists the nodes of a host; all of them, also the machines beside the cluster.
func (c *Cluster) Host(name string) []*Node {
	return slices.DeleteFunc(slices.Clone(c.Nodes), func(n *Node) bool { return n.Host != name })
}

// Restart takes the nodes' power away and gives it back, all at once, as when a host
// reboots without a shutdown. They keep their addresses. It returns when all are
// switched on, not when they work.
func Restart(ctx context.Context, nodes ...*Node) error {
	for _, argv := range []func(*Node) []string{func(n *Node) []string { return n.Power.Off }, func(n *Node) []string { return n.Power.On }} {
		if err := switchAll(ctx, nodes, argv); err != nil {
			return err
		}
	}
	return nil
}

// switchAll runs a command of this machine for each node, all at once.
func switchAll(ctx context.Context, nodes []*Node, argv func(*Node) []string) error {
	var group errgroup.Group
	for _, n := range nodes {
		group.Go(func() error {
			command := argv(n)
			if len(command) == 0 {
				return fmt.Errorf("node %s cannot be switched from this machine", n.Name)
			}
			_, err := LocalShell(ctx, ThisMachineName, nil, command...)
			return err
		})
	}
	return group.Wait()
}

// MoveToCores gives the node a CPU set such as 0,2-3. The node must not be frozen.
func (n *Node) MoveToCores(ctx context.Context, set string) error {
	if len(n.Power.Cores) == 0 {
		return fmt.Errorf("node %s cannot be moved to other cores from this machine", n.Name)
	}
	_, err := LocalShell(ctx, ThisMachineName, nil, append(slices.Clone(n.Power.Cores), set)...)
	return err
}

// Migrate moves nodes to another host, as a hypervisor migrates its virtual machines:
// they are frozen at the same time for at least the blackout, and go on with the cores
// of the other host. Memory, processes, connections and addresses stay. It returns how
// long the longest was frozen. However it ends, nothing stays frozen.
func (c *Cluster) Migrate(ctx context.Context, to string, blackout time.Duration, nodes ...*Node) (frozen time.Duration, err error) {
	host, err := c.Topology.Host(to)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	thaw := func() error {
		return switchAll(context.WithoutCancel(ctx), nodes, func(n *Node) []string { return n.Power.Thaw })
	}
	if err := switchAll(ctx, nodes, func(n *Node) []string { return n.Power.Freeze }); err != nil {
		return 0, errors.Join(fmt.Errorf("freeze for migration to host %s: %w", to, err), thaw())
	}
	rest := time.NewTimer(blackout - time.Since(began))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-ctx.Done():
	}
	err = thaw()
	frozen = time.Since(began)
	if err := errors.Join(err, ctx.Err()); err != nil {
		return frozen, fmt.Errorf("migrate to host %s: %w", to, err)
	}
	return frozen, c.rehome(ctx, host, nodes)
}

// Rehome gives nodes that have been moved, and are not frozen, the cores and the label of
// their host: Migrate without the blackout.
func (c *Cluster) Rehome(ctx context.Context, to string, nodes ...*Node) error {
	host, err := c.Topology.Host(to)
	if err != nil {
		return err
	}
	return c.rehome(ctx, host, nodes)
}

func (c *Cluster) rehome(ctx context.Context, host Host, nodes []*Node) error {
	for _, n := range nodes {
		if err := n.MoveToCores(ctx, coresOf(host)); err != nil {
			return err
		}
		n.Host = host.Name
	}
	return c.relabel(ctx, nodes)
}

// coresOf is the host's CPU set; all cores of the machine where it has none.
func coresOf(h Host) string {
	if h.CPUs == "" {
		return allCores()
	}
	return h.CPUs
}

// relabel tells Kubernetes about the nodes' hosts. It tries until ctx ends, because a
// control plane that was frozen may be electing leaders.
func (c *Cluster) relabel(ctx context.Context, nodes []*Node) error {
	for _, n := range nodes {
		if !n.Role.Kubernetes() {
			continue
		}
		patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, HostLabel, n.Host)
		err := Await(ctx, time.Second, "the label of "+n.Name, func(ctx context.Context) error {
			client, err := c.Client(c.Front())
			if err != nil {
				return err
			}
			_, err = client.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Host finds a host of the layout by name. The error lists all names.
func (t Topology) Host(name string) (Host, error) {
	var names []string
	for _, h := range t.Hosts {
		if h.Name == name {
			return h, nil
		}
		names = append(names, h.Name)
	}
	return Host{}, fmt.Errorf("topology %s has no host %q; its hosts are %v", t.Name, name, names)
}
