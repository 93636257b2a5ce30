package clusters

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// What an experiment breaks is chosen by role. The choices return instances, so that they
// combine: c.EtcdMembers().Shuffled(r).Minority().

// Majority is the smallest set whose loss takes the majority away from n
// members: with three or four members two. Members that are not in it stay.
func (is Instances) Majority() Instances {
	return is[:(len(is)+1)/2]
}

// Minority is the largest set whose loss leaves a majority.
func (is Instances) Minority() Instances { return is[:(len(is)-1)/2] }

// Except lists the instances other than those given.
func (is Instances) Except(others ...Instance) Instances {
	return slices.DeleteFunc(slices.Clone(is), func(i Instance) bool { return slices.Contains(others, i) })
}

// Both lists the instances that are also among the others.
func (is Instances) Both(others Instances) Instances {
	return slices.DeleteFunc(slices.Clone(is), func(i Instance) bool { return !slices.Contains(others, i) })
}

// On lists the instances on a node.
func (is Instances) On(node string) Instances {
	return slices.DeleteFunc(slices.Clone(is), func(i Instance) bool { return i.Node.Name != node })
}

// OnHost lists the instances on a host.
func (is Instances) OnHost(host string) Instances {
	return slices.DeleteFunc(slices.Clone(is), func(i Instance) bool { return i.Node.Host != host })
}

// OnePerHost is the first instance of every host that has one.
func (is Instances) OnePerHost() Instances {
	var first Instances
	for _, i := range is {
		if len(first.OnHost(i.Node.Host)) == 0 {
			first = append(first, i)
		}
	}
	return first
}

// Shuffled is all the instances in the order that chance gives them; [:1] is one of them
// at random. The caller's source makes the choice repeatable.
func (is Instances) Shuffled(r *rand.Rand) Instances {
	shuffled := slices.Clone(is)
	r.Shuffle(len(shuffled), func(a, b int) { shuffled[a], shuffled[b] = shuffled[b], shuffled[a] })
	return shuffled
}

// Followers lists the instances of an elected component, or of etcd, that do not lead now.
func (c *Cluster) Followers(ctx context.Context, component Component) (Instances, error) {
	leader, err := c.Leader(ctx, component)
	if err != nil {
		return nil, err
	}
	return c.Instances(component).Except(leader), nil
}

// listPods prints the pod's name for every process that is called $1.
const listPods = `for p in $(pgrep -x "$1"); do
  tr '\0' '\n' < "/proc/$p/environ" 2>/dev/null | sed -n 's/^HOSTNAME=//p'
done; true`

// Running lists the instances of a component where they are, also of one that the
// scheduler places. It asks the nodes, so that it works without the API; of such a
// component, a pod without a process is not found, and a node that cannot be asked has
// none.
func (c *Cluster) Running(ctx context.Context, component Component) (Instances, error) {
	if component != CoreDNS {
		return c.Instances(component), nil
	}
	found := make([]Instances, len(c.Nodes))
	var group errgroup.Group
	for n, node := range c.Nodes {
		if !node.Role.Kubernetes() {
			continue
		}
		group.Go(func() error {
			found[n] = node.pods(ctx, component)
			return nil
		})
	}
	_ = group.Wait()
	return slices.Concat(found...), ctx.Err()
}

// pods lists the instances of a component that the scheduler has placed on the node.
func (n *Node) pods(ctx context.Context, component Component) Instances {
	out, err := n.Exec(ctx, "sh", "-c", listPods, "sh", component.processNames())
	if err != nil {
		return nil
	}
	var all Instances
	for _, pod := range strings.Fields(string(out)) {
		all = append(all, Instance{Component: component, Node: n, Pod: pod})
	}
	return all
}
