// Package gameday runs experiments on a cluster that somebody else made, with people
// watching: a plan first, then each experiment after its approval, and everything is undone at
// once when a stop condition is met or somebody says so.
package gameday

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"faultline/clusters"
	"faultline/fault"
)

// choice is an experiment that a game day offers.
type choice struct {
	does string
	// pick names what is hit: on the node of that name, or, if it is empty, where the loss
	// is likely to cost least.
	pick func(ctx context.Context, c *clusters.Cluster, node string) (hit, error)
}

// hit is what an experiment breaks.
type hit struct {
	fault fault.Fault
	// loss is the same to the model that predicts what it costs.
	loss clusters.Loss
	// losing are the components whose majority or last instance it takes, as it is meant to.
	losing []clusters.Component
	// cut are nodes that their neighbours do not reach meanwhile, around those that they reach
	// with difficulty.
	cut, around []*clusters.Node
}

// choices are all experiments, by name.
var choices = map[string]choice{
	"api-server":                {"an API server is held down", one(clusters.APIServer)},
	"api-servers":               {"every API server is held down", all(clusters.APIServer)},
	"etcd-member":               {"a member of etcd is held down", one(clusters.Etcd)},
	"etcd-majority":             {"a majority of etcd is held down", majority},
	"scheduler-leader":          {"the leading scheduler is held down", leading(clusters.Scheduler)},
	"controller-manager-leader": {"the leading controller manager is held down", leading(clusters.ControllerManager)},
	"cpu-stress":                {"endless loops take the CPU of a worker", stress},
	"packet-loss":               {"a tenth of the packets between a master and all other nodes is lost", lossy},
	"worker":                    {"a worker and all other nodes do not reach each other", partition(clusters.Worker)},
	"master":                    {"a master and all other nodes do not reach each other", partition(clusters.ControlPlane)},
}

// everyChoice lists the names of all experiments.
func everyChoice() []string { return slices.Sorted(maps.Keys(choices)) }

// find takes a name such as worker or worker:n5 apart.
func find(name string) (c choice, node string, err error) {
	word, node, _ := strings.Cut(name, ":")
	c, ok := choices[word]
	if !ok {
		return choice{}, "", fmt.Errorf("unknown experiment %q; there are: %s", name, strings.Join(everyChoice(), ", "))
	}
	return c, node, nil
}

// instanceOn is the component's instance on the node, or the last one where none is named.
func instanceOn(c *clusters.Cluster, component clusters.Component, node string) (clusters.Instance, error) {
	instances := c.Instances(component)
	if node == "" && len(instances) > 0 {
		return instances[len(instances)-1], nil
	}
	for _, i := range instances {
		if i.Node.Name == node {
			return i, nil
		}
	}
	return clusters.Instance{}, fmt.Errorf("no %s runs on node %q; it runs on %s", component, node, strings.Join(nodeNames(instances), ", "))
}

func nodeNames(instances clusters.Instances) []string {
	var names []string
	for _, i := range instances {
		names = append(names, i.Node.Name)
	}
	return names
}

// needed is how many instances of a component have to be there: a majority of etcd, and one of
// any other.
func needed(c *clusters.Cluster, component clusters.Component) int {
	if component == clusters.Etcd {
		return len(c.EtcdMembers())/2 + 1
	}
	return 1
}

// others are all nodes but this one.
func others(c *clusters.Cluster, n *clusters.Node) []*clusters.Node {
	return slices.DeleteFunc(slices.Clone(c.Nodes), func(o *clusters.Node) bool { return o == n })
}

// heldDown is a hit on instances of one component.
func heldDown(c *clusters.Cluster, instances ...clusters.Instance) hit {
	component := instances[0].Component
	h := hit{fault: fault.HoldDown(instances...)}
	for range instances {
		h.loss.Components = append(h.loss.Components, component)
	}
	if len(c.Instances(component))-len(instances) < needed(c, component) {
		h.losing = []clusters.Component{component}
		h.fault = h.fault.Losing(component)
	}
	return h
}

func one(component clusters.Component) func(context.Context, *clusters.Cluster, string) (hit, error) {
	return func(_ context.Context, c *clusters.Cluster, node string) (hit, error) {
		i, err := instanceOn(c, component, node)
		if err != nil {
			return hit{}, err
		}
		return heldDown(c, i), nil
	}
}

func all(component clusters.Component) func(context.Context, *clusters.Cluster, string) (hit, error) {
	return func(_ context.Context, c *clusters.Cluster, node string) (hit, error) {
		if node != "" {
			return hit{}, fmt.Errorf("every %s is meant, not that on %s", component, node)
		}
		return heldDown(c, c.Instances(component)...), nil
	}
}

func majority(_ context.Context, c *clusters.Cluster, node string) (hit, error) {
	if node != "" {
		return hit{}, fmt.Errorf("a majority of etcd is meant, not the member on %s", node)
	}
	members := c.EtcdMembers()
	return heldDown(c, members[len(members)-len(members)/2-1:]...), nil
}

// leading asks the API who leads now: a plan names the leader, and is refused when another
// one leads meanwhile.
func leading(component clusters.Component) func(context.Context, *clusters.Cluster, string) (hit, error) {
	return func(ctx context.Context, c *clusters.Cluster, node string) (hit, error) {
		leader, err := c.Leader(ctx, component)
		if err != nil {
			return hit{}, err
		}
		if node != "" && node != leader.Node.Name {
			return hit{}, fmt.Errorf("%s leads, and not that on %s", leader, node)
		}
		return heldDown(c, leader), nil
	}
}

// nodeOf is the node of that name with the role, or the last one of the role.
func nodeOf(c *clusters.Cluster, role clusters.Role, name string) (*clusters.Node, error) {
	nodes := c.With(role)
	if len(nodes) == 0 {
		return nil, fmt.Errorf("the cluster has no node with the role %s", role)
	}
	if name == "" {
		return nodes[len(nodes)-1], nil
	}
	at := slices.IndexFunc(nodes, func(n *clusters.Node) bool { return n.Name == name })
	if at < 0 {
		return nil, fmt.Errorf("no node %q has the role %s", name, role)
	}
	return nodes[at], nil
}

// partition separates a node from all others. This machine still reaches it.
func partition(role clusters.Role) func(context.Context, *clusters.Cluster, string) (hit, error) {
	return func(_ context.Context, c *clusters.Cluster, name string) (hit, error) {
		n, err := nodeOf(c, role, name)
		if err != nil {
			return hit{}, err
		}
		return separated(c, n)
	}
}

// loops are as many as a node with two cores can bear.
const loops = 4

// stress costs nothing by the model: the kernel gives pods that want more than they asked for
// what is left.
func stress(_ context.Context, c *clusters.Cluster, name string) (hit, error) {
	n, err := nodeOf(c, clusters.Worker, name)
	if err != nil {
		return hit{}, err
	}
	return hit{fault: fault.StressCPU(n, loops)}, nil
}

// lostPercent is what TCP makes up for.
const lostPercent = 10

// lossy costs nothing by the model: what is lost is sent again.
func lossy(_ context.Context, c *clusters.Cluster, name string) (hit, error) {
	n, err := nodeOf(c, clusters.ControlPlane, name)
	if err != nil {
		return hit{}, err
	}
	return hit{fault: fault.Loss(lostPercent, []*clusters.Node{n}, others(c, n)), around: []*clusters.Node{n}}, nil
}

func separated(c *clusters.Cluster, n *clusters.Node) (hit, error) {
	rest := others(c, n)
	if len(rest) == 0 {
		return hit{}, fmt.Errorf("node %s has no neighbours to be separated from", n.Name)
	}
	h := hit{
		fault: fault.Partition([]*clusters.Node{n}, rest), cut: []*clusters.Node{n},
		loss: clusters.Loss{Members: []int{memberIndex(c, n)}},
	}
	for _, component := range clusters.Stack {
		left := c.Instances(component).Except(n.Instances(component)...)
		if len(left) < needed(c, component) {
			h.losing = append(h.losing, component)
		}
	}
	h.fault = h.fault.Losing(h.losing...)
	return h, nil
}

// memberIndex is the node's place in the order of the layout's members, host by host.
func memberIndex(c *clusters.Cluster, wanted *clusters.Node) int {
	index := 0
	for _, h := range c.Topology.Hosts {
		for _, n := range c.Host(h.Name) {
			if n == wanted {
				return index
			}
			index++
		}
	}
	return -1
}
