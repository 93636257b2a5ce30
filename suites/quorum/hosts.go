package quorum

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: with two hosts there is no use in spreading three members over both, because
// the loss of the host with the majority is an outage either way. The two columns of the
// table are equal.
var _ = Describe("Three members of etcd on two hosts", Core, Component(clusters.Etcd), func() {
	DescribeTable("are as available", Claims("ETCD-17"),
		func(ctx SpecContext, topology string) {
			d := On(ctx, topology)
			first, second := d.Host("h1"), d.Host("h2")
			majority := withMembers(first)

			By("losing the host without the majority")
			d.Then(fault.PowerOff(second...))
			Expect(d).To(Pause(probe.Put).On(majority...).Within(d.Timing.EtcdElection()))
			d.Undo()
			d.AwaitHealed()

			By("cutting the network between the hosts")
			d.Then(fault.Partition(first, second))
			Expect(d).To(Pause(probe.Put).On(majority...).Within(d.Timing.EtcdElection()))
			if minority := withMembers(second); len(minority) > 0 {
				Expect(d).To(Lose(probe.Put).On(minority...).Within(d.Timing.Noticed()))
			}
			d.Undo()
			d.AwaitHealed()

			By("losing the host with the majority")
			d.Then(fault.PowerOff(first...).Losing(clusters.Etcd))
			Expect(d).To(Lose(probe.Put).Within(d.Timing.Noticed()))
			d.Undo()
			Expect(d).To(Resume(probe.Put).Within(d.Timing.NodeReturn()))
		},
		Entry("all on one of them", Topology("bare-etcd-3-plus-0"), "bare-etcd-3-plus-0"),
		Entry("as two and one", Topology("bare-etcd-2-plus-1"), "bare-etcd-2-plus-1"),
	)
})

// Document A: if the two hosts differ, all of etcd belongs on the more reliable one.
var _ = Describe("On two hosts of which the second flaps, three members of etcd", Core, Component(clusters.Etcd), func() {
	// flaps are how often it fails.
	const flaps = 3

	It("do not notice when all of them are on the first", Topology("bare-etcd-3-plus-0"), Claims("ETCD-19"), func(ctx SpecContext) {
		d := On(ctx, "bare-etcd-3-plus-0")
		for range flaps {
			d.Then(fault.PowerOff(d.Host("h2")...))
			Expect(d).To(KeepServing(probe.Put))
			d.Undo()
			d.AwaitHealed()
		}
	})

	// The layout has two members on h1, so that is the host that flaps.
	It("are lost each time when two of them are on it", Topology("bare-etcd-2-plus-1"), Claims("ETCD-19"), func(ctx SpecContext) {
		d := On(ctx, "bare-etcd-2-plus-1")
		for range flaps {
			d.Then(fault.PowerOff(d.Host("h1")...).Losing(clusters.Etcd))
			Expect(d).To(Lose(probe.Put).Within(d.Timing.Noticed()))
			d.Undo()
			Expect(d).To(Resume(probe.Put).Within(d.Timing.NodeReturn()))
			d.AwaitHealed()
		}
	})
})

// withMembers are the nodes with a member of the cluster's etcd.
func withMembers(nodes []*clusters.Node) []*clusters.Node {
	var all []*clusters.Node
	for _, n := range nodes {
		if n.Role == clusters.EtcdServer {
			all = append(all, n)
		}
	}
	return all
}
