package components

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	"faultline/reports/record"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

var _ = Describe("etcd on three hosts", Topology("three-host-stacked"), Component(clusters.Etcd), Core, func() {
	const topology = "three-host-stacked"

	// The first, because it needs a store that has been quiet for a minute.
	It("serves cached reads for a window of time without a majority, and plain reads not at all", Claims("ETCD-03", "ETCD-05"), func(ctx SpecContext) {
		d := On(ctx, topology)
		d.AwaitQuietStore(d.Timing.WatchErrorMemory())
		d.Inject(fault.Pause(d.EtcdMembers().Majority()...).Losing(clusters.Etcd))
		survivor := d.EtcdMembers().Except(d.EtcdMembers().Majority()...)[0].Node

		Expect(d).To(Lose(probe.ConsistentRead).Within(d.Timing.Noticed()))
		Expect(d).To(KeepServing(probe.CachedRead).On(survivor).For(d.Timing.StaleReads().Lower))
		Expect(d).To(Lose(probe.CachedRead).On(survivor).As(record.NotReady, record.EtcdError, record.TimedOut).Within(d.Timing.StaleReads()))

		d.Undo()
		Expect(d).To(Resume(probe.ConsistentRead).Within(d.Timing.QuorumReturn()))
		Expect(d).To(Resume(probe.CachedRead).On(survivor).Within(d.Timing.QuorumReturn()))
		d.Drifted("cached reads last as long as the watch cache keeps trying, 30 s from the first error of a minute, and a plain read needs the majority")
	})

	It("refuses writes without a majority while workloads run on", Claims("ETCD-02"), func(ctx SpecContext) {
		RefuseWritesWithoutAMajority(On(ctx, topology))
	})

	It("absorbs the loss of its leader", Claims("ETCD-09"), func(ctx SpecContext) {
		d := On(ctx, topology)
		leader := d.Leader(clusters.Etcd)
		d.Inject(fault.Kill(leader))

		Expect(d).To(Pause(probe.Write).Within(d.Timing.EtcdElection()))
		Expect(d).To(ElectEtcdLeader().Within(d.Timing.EtcdElection()))
		Expect(d).To(KeepServing(probe.Workload))
	})
})

// RefuseWritesWithoutAMajority is the experiment of ETCD-02; sabotage runs use it too.
func RefuseWritesWithoutAMajority(d *Drill) {
	GinkgoHelper()
	d.Inject(fault.Pause(d.EtcdMembers().Majority()...).Losing(clusters.Etcd))

	Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
	Expect(d).To(Lose(probe.Schedule).Within(d.Timing.Noticed()))
	Expect(d).To(Lose(probe.Reconcile).Within(d.Timing.Noticed()))
	Expect(d).To(KeepServing(probe.Workload))
	Expect(d).To(KeepServing(probe.Service))

	d.Undo()
	Expect(d).To(Resume(probe.Write).Within(d.Timing.QuorumReturn()))
}
