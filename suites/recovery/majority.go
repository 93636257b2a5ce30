package recovery

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: without a majority etcd does not come back by itself; a new cluster has to be
// formed from what is left (A:L26, A:L54, A:L98).
var _ = Describe("When the majority of etcd is destroyed", Nightly, Runbook, Component(clusters.Etcd), func() {
	It("the one member on the second of two hosts is of no use until it is made an etcd of its own", Topology("bare-etcd-2-plus-1"), Claims("ETCD-18"), func(ctx SpecContext) {
		d := On(ctx, "bare-etcd-2-plus-1")
		survivor := d.EtcdMembers()[2].Node
		Expect(d.Told("with a majority the runbook refuses", refusesOn(ctx, survivor, forceScript, "has a majority"))).To(Succeed())
		d.Inject(fault.Destroy(d.Host("h1")...).Losing(clusters.Etcd))
		d.GoOnWithout(d.Host("h1")...)

		Expect(d).To(Lose(probe.Put).Within(d.Timing.Noticed()))
		d.Hold(d.Timing.QuorumReturn().Upper)
		force(ctx, d, survivor)
		Expect(d).To(Pause(probe.Put).On(survivor).Within(d.Timing.RestoredInAll()))
	})

	It("a control plane of three hosts goes on from the one that is left", Topology("three-host-stacked"), Claims("DR-12"), func(ctx SpecContext) {
		d := On(ctx, "three-host-stacked")
		survivor := Masters(d.Host("h1"))[0]
		lost := append(Masters(d.Host("h2")), Masters(d.Host("h3"))...)
		d.Inject(fault.Destroy(lost...).Losing(clusters.Components...))
		d.GoOnWithout(lost...)

		Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
		Expect(d).To(KeepServing(probe.Workload))
		d.Hold(d.Timing.QuorumReturn().Upper)
		force(ctx, d, survivor)
		d.AskThrough(survivor.APIServer())
		Expect(d).To(Pause(probe.Ready).On(survivor).Within(d.Timing.RestoredInAll()))
		Expect(d).To(Pause(probe.Schedule).Within(d.Timing.RestoredInAll()))
		Expect(d).To(Pause(probe.Reconcile).Within(d.Timing.RestoredInAll()))
		Expect(d).To(KeepServing(probe.Workload))
		Conforms(d)
	})
})

// force runs the runbook, and measures it.
func force(ctx context.Context, d *Drill, survivor *clusters.Node) {
	GinkgoHelper()
	d.BeginRepair()
	carryOut(d, "the runbook makes the member an etcd of its own", "it serves alone", d.Timing.Restored(),
		func() (string, error) { return run(ctx, survivor, forceScript) })
}
