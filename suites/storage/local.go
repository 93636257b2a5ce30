package storage

import (
	"context"
	"fmt"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: a database that spreads over hosts on local volumes keeps its quorum when one
// of them is lost, if there are enough of them (A:L114). The members are ready while they
// have a quorum, and their volumes bind them to their nodes.
var _ = Describe("A database of three on volumes of their nodes", Nightly, WholeHost, func() {
	DescribeTable("that loses a host", Claims("WORK-07"),
		func(ctx SpecContext, topology, host string, left int) {
			d := On(ctx, topology)
			lost := d.Host(host)
			d.Inject(fault.PowerOff(lost...).Losing(clusters.CoreDNS))

			Expect(d).To(MarkNotReady(lost...).Within(d.Timing.NodeNotReady()))
			Expect(d.BecomesTrue(fmt.Sprintf("%d of three members serve", left), d.Timing.Noticed(), membersReady(left))).To(Succeed())
			Expect(d.StaysTrueFor("no member moves to another node", d.Timing.Eviction().Upper, membersAreBound(d, lost))).To(Succeed())
			Expect(d).To(KeepServing(probe.Write))

			d.Undo()
			Expect(d.BecomesTrue("all three serve again, with their data", d.Timing.NodeReturn(), membersReady(clusters.QuorumSize))).To(Succeed())
		},
		Entry("keeps its quorum on three hosts", Topology("stateful-local"), "stateful-local", "h1", 2),
		Entry("loses it with the one of two hosts that has two members", Topology("stateful-local-two-plus-one"), "stateful-local-two-plus-one", "h1", 0),
		Entry("keeps it without the one of two hosts that has one member", Topology("stateful-local-two-plus-one"), "stateful-local-two-plus-one", "h2", 2),
	)
})

var members = clusters.OfApp(clusters.DatabaseApp)

// membersReady fails unless so many members are ready.
func membersReady(want int) Request {
	return PodsReady(clusters.LocalVolumes.Namespace(), members, want)
}

// membersAreBound fails when a member of a lost node runs elsewhere: the others are as many
// as before.
func membersAreBound(d *Drill, lost []*clusters.Node) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Pods(clusters.LocalVolumes.Namespace()).List(ctx, members)
		if err != nil {
			return err
		}
		elsewhere := 0
		for _, p := range list.Items {
			if p.Spec.NodeName != "" && !slices.ContainsFunc(lost, func(n *clusters.Node) bool { return n.Name == p.Spec.NodeName }) {
				elsewhere++
			}
		}
		want := len(d.WorkloadNodes()) - len(lost)
		return Unless(elsewhere == want, fmt.Errorf("%d members are on the other nodes, which had %d", elsewhere, want))
	}
}
