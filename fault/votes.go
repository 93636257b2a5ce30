package fault

import (
	"slices"

	"faultline/clusters"
)

// outvoted lists the members of each etcd that reach no majority of it, counting
// themselves, while these packets do not pass those ways. Members talk over TCP, so a
// way that is closed closes the way back.
func (p Packets) outvoted(c *clusters.Cluster, ways []way) clusters.Instances {
	var all clusters.Instances
	for _, members := range []clusters.Instances{c.EtcdMembers(), c.EventsMembers()} {
		s := service{component: clusters.Etcd, all: members}
		for _, member := range s.all {
			reached := 0
			for _, other := range s.all {
				if !p.include(other.Port()+1) || !separate(ways, member.Node, other.Node) {
					reached++
				}
			}
			if reached < s.needs() {
				all = append(all, member)
			}
		}
	}
	return all
}

// separate tells whether a connection between two nodes goes one of the ways.
func separate(ways []way, a, b *clusters.Node) bool {
	return slices.ContainsFunc(ways, func(w way) bool {
		return slices.Contains(w[0], a) && slices.Contains(w[1], b) || slices.Contains(w[0], b) && slices.Contains(w[1], a)
	})
}

// include tells whether packets of connections to the port are hit.
func (p Packets) include(port int) bool { return len(p.ports) == 0 || slices.Contains(p.ports, port) }

// unreachable lists what on the nodes cannot be reached without these packets: everything,
// or what listens on their ports.
func (p Packets) unreachable(nodes []*clusters.Node) clusters.Instances {
	var all clusters.Instances
	for _, n := range nodes {
		for _, i := range n.Everything() {
			if len(p.ports) == 0 || slices.ContainsFunc(listens(i), p.include) {
				all = append(all, i)
			}
		}
	}
	return all
}

// listens is the ports of an instance that others connect to.
func listens(i clusters.Instance) []int {
	switch i.Component {
	case clusters.Etcd:
		return []int{i.Port(), i.Port() + 1}
	case clusters.HAProxy, clusters.Envoy:
		return []int{PortAPI}
	default:
		return []int{i.Port()}
	}
}
