package fault

import (
	"fmt"
	"slices"
	"strings"

	"faultline/clusters"
)

// Partition keeps two sets of nodes from each other, with the pods of both; nodes in
// neither set still reach both. Each node drops what arrives from the other side, as when
// it got lost on the wire: who sends does not notice, and no connection is closed. This
// machine, and whoever runs commands on the nodes, are not cut off.
//
// Nodes are told by their addresses and those of their pods as the node routes them
// when the fault begins. The guard counts the members of etcd that are left without a
// majority that they reach in both directions; it does not count what they serve.
//
// Proof: each node of a side attempts a connection to each of the other; all of them run
// into a time-out (or are refused, if meant so), and the rules count their packets.
// Undo: the chain and the jumps to it are removed, on each node by itself. Healed: the
// same connections are answered, and each node's kubelet, or what it is for, runs and
// stays.
func Partition(a, b []*clusters.Node) Fault { return Packets{}.Partition(a, b) }

// Partition is Partition for these packets.
func (p Packets) Partition(a, b []*clusters.Node) Fault {
	return p.between(filter{kind: KindPartition, share: 1}, way{a, b}, way{b, a})
}

// OneWay keeps packets of the first nodes from the second, and lets those in the other
// direction pass. A TCP connection needs both, so none comes about and none stays, but
// the second nodes' attempts and datagrams arrive.
//
// Guard, proof, undo and healing are those of Partition.
func OneWay(from, to []*clusters.Node) Fault { return Packets{}.OneWay(from, to) }

// OneWay is OneWay for these packets.
func (p Packets) OneWay(from, to []*clusters.Node) Fault {
	return p.between(filter{kind: KindOneWay, share: 1}, way{from, to})
}

// Loss loses packets between two sets of nodes, in both directions, each with the same
// probability and independently of others. What arrives is lost, so senders do not notice.
// With Refusing, that share of packets resets its connection instead.
//
// Proof: connections between the nodes are attempted until the share of their packets that
// the rules have hit is plausible. Guard: it takes nothing. Undo and healing are those of
// Partition.
func Loss(percent float64, a, b []*clusters.Node) Fault { return Packets{}.Loss(percent, a, b) }

// Loss is Loss for these packets.
func (p Packets) Loss(percent float64, a, b []*clusters.Node) Fault {
	return p.between(filter{kind: KindLoss, share: percent / 100}, way{a, b}, way{b, a})
}

// way is from which nodes to which.
type way [2][]*clusters.Node

// between is a fault on packets from the first nodes of each way to the second.
func (p Packets) between(like filter, ways ...way) Fault {
	f := Fault{Kind: like.kind, TTL: DefaultTTL}
	takes := func(c *clusters.Cluster) clusters.Instances { return p.outvoted(c, ways) }
	if like.passes() {
		takes = nil
	}
	for _, w := range ways {
		if len(w[0]) == 0 {
			return Fault{Kind: like.kind, TTL: DefaultTTL}
		}
		if slices.Contains(slices.Concat(w[0], w[1]), nil) {
			f.parts = append(f.parts, missing(like.kind))
			continue
		}
		for _, n := range w[1] {
			target := fmt.Sprintf("%s from %s to %s", p, names(w[0]), n.Name)
			filter := like
			filter.Packets, filter.node, filter.from = p, n, w[0]
			f.parts = append(f.parts, filter.part(target, takes))
		}
	}
	return f
}

func names(nodes []*clusters.Node) string {
	all := make([]string, len(nodes))
	for n, node := range nodes {
		all[n] = node.Name
	}
	return strings.Join(all, ", ")
}
