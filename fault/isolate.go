package fault

import (
	"slices"

	"faultline/clusters"
)

// Isolate cuts nodes off from everything on the network but this machine, as when the
// cable of a host is pulled: other nodes and their pods, kind's load balancer, and
// whatever is outside. Nodes that are isolated together still reach each other. This
// machine is spared because it watches from all sides: probes tell what an isolated
// API server answers, and commands on the nodes go through the engine anyway.
//
// Both what arrives and what leaves is dropped on the isolated nodes. The kernel tells
// senders of datagrams on them (EPERM), and lets TCP try until it gives up.
//
// The guard counts everything on the nodes, and the members of etcd elsewhere that are left
// without a majority.
//
// Proof: the isolated nodes and all others attempt connections to each other; all run into
// a time-out (or are refused, if meant so), and the rules count packets in both
// directions. Undo: the chain and the jumps to it are removed. Healed: the same
// connections are answered, and the node's kubelet, or what it is for, runs and stays.
func Isolate(nodes ...*clusters.Node) Fault { return Packets{}.Isolate(nodes...) }

// Isolate is Isolate for these packets. With ports, what listens on them is counted by the
// guard, not what connects to them.
func (p Packets) Isolate(nodes ...*clusters.Node) Fault {
	together := slices.Clone(nodes)
	return p.around(KindIsolate, nodes, func(c *clusters.Cluster) clusters.Instances {
		rest := slices.DeleteFunc(slices.Clone(c.Nodes), func(n *clusters.Node) bool { return slices.Contains(together, n) })
		return append(p.unreachable(together), p.outvoted(c, []way{{together, rest}})...)
	})
}

// Close hits packets to the ports of the nodes, whoever sends them, this machine and the
// pods of the node included; the node itself reaches its ports. Over a black hole
// it is a server whose host is gone, or a load balancer that drops; refusing, one whose
// process is gone: fault.OnPort(fault.PortAPI).Refusing().Close(balancer). Established
// connections are hit too. What the nodes send is not.
//
// The guard counts what listens on the ports.
//
// Proof: this machine and all other nodes attempt connections; all run into a time-out or
// are refused, and the rules count their packets. Undo and healing are those of Isolate.
func (p Packets) Close(nodes ...*clusters.Node) Fault {
	return p.around(KindClose, nodes, func(*clusters.Cluster) clusters.Instances { return p.unreachable(nodes) })
}

// around is a fault on what comes to each node, and to where it goes.
func (p Packets) around(kind Kind, nodes []*clusters.Node, takes func(*clusters.Cluster) clusters.Instances) Fault {
	f := Fault{Kind: kind, TTL: DefaultTTL}
	for _, n := range nodes {
		if n == nil {
			f.parts = append(f.parts, missing(kind))
			continue
		}
		filter := filter{Packets: p, kind: kind, node: n, share: 1, closed: kind == KindClose}
		if kind == KindIsolate {
			filter.apart, filter.together = true, nodes
		}
		f.parts = append(f.parts, filter.part(p.String()+" around "+n.Name, takes))
	}
	return f
}
