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

// Document A: what is left when the majority is gone is not what was there; recovery ends with
// as many masters as before (A:L26, A:L92).
var _ = Describe("A control plane that was formed anew from one of three masters", Topology("three-host-stacked"), Nightly, SpecPriority(5), Component(clusters.Etcd), func() {
	It("grows back to three, and then does without the first", Claims("DR-12"), func(ctx SpecContext) {
		growBack(ctx, On(ctx, "three-host-stacked"))
	})
})

// growBack recovers from the loss of two masters in the way that README tells.
func growBack(ctx context.Context, d *Drill) {
	GinkgoHelper()
	masters := d.With(clusters.ControlPlane)
	survivor, lost := masters[0], masters[1:]
	// The machines must not come back as they were while they are set up anew.
	d.Inject(fault.Erase(lost...).Losing(clusters.Components...).WithTTL(3 * d.Timing.RestoredInAll().Upper))
	Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
	Expect(d).To(KeepServing(probe.Workload))
	d.Hold(d.Timing.QuorumReturn().Upper)
	Expect(d.Told("without a majority nobody is invited", refusesToInvite(ctx, survivor, "etcd does not answer"))).To(Succeed())

	By("forming an etcd of one")
	force(ctx, d, survivor)
	Expect(d).To(Pause(probe.Ready).On(survivor).Within(d.Timing.RestoredInAll()))
	Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(d.Timing.RestoredInAll()))

	By("forgetting the lost masters, and adding new ones one after the other")
	Expect(d.Told("nobody is invited while lost masters are listed", refusesToInvite(ctx, survivor, "forget the lost ones"))).To(Succeed())
	for _, n := range lost {
		forgetMaster(ctx, d, survivor, n)
	}
	for _, n := range lost {
		joinMaster(ctx, d, survivor, n)
	}
	d.Undo() // closes the fault: there is nothing to put back any more
	d.AwaitHealed()
	recovered(d)

	By("losing the master that was left")
	d.Then(fault.PowerOff(survivor))
	Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(d.Timing.HostLoss()))
	d.Undo()
	Expect(d).To(Resume(probe.CachedRead).On(survivor).Within(d.Timing.NodeReturn()))
	sameData(d)
}

// refusesToInvite fails unless the runbook refuses to hand out the authorities, with a complaint.
func refusesToInvite(ctx context.Context, survivor *clusters.Node, complaint string) error {
	said, err := run(ctx, survivor, inviteScript, authoritiesPath)
	return refused(said, err, complaint)
}
