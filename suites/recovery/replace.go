package recovery

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: with three hosts the loss of one is recoverable (A:L68, A:L92).
var _ = Describe("A lost host of three", Topology("three-host-stacked"), Nightly, Runbook, WholeHost, func() {
	It("is replaced, and then another one may be lost", Claims("TOPO-20"), func(ctx SpecContext) {
		d := On(ctx, "three-host-stacked")
		masters := d.With(clusters.ControlPlane)
		survivor, lost, other := masters[0], masters[1], masters[2]
		for _, wrong := range []struct{ name, complaint string }{{"nobody", "no member nobody"}, {lost.Name, "is alive"}, {survivor.Name, "is this node"}} {
			Expect(d.Told("the runbook does not forget "+wrong.name, refusesOn(ctx, survivor, forgetScript, wrong.complaint, wrong.name))).To(Succeed())
		}

		By("losing a master with its disk")
		d.Inject(fault.Erase(lost))
		Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(d.Timing.HostLoss()))

		By("replacing it")
		forgetMaster(ctx, d, survivor, lost)
		joinMaster(ctx, d, survivor, lost)
		Expect(d).To(VisiblyPause(probe.CachedRead).On(lost).Within(d.Timing.RestoredInAll()))
		d.Undo() // closes the fault: there is nothing to put back any more
		d.AwaitHealed()
		recovered(d)

		By("losing another one")
		d.Then(fault.PowerOff(other))
		Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(d.Timing.HostLoss()))
		d.Undo()
		Expect(d).To(Resume(probe.CachedRead).On(other).Within(d.Timing.NodeReturn()))
	})
})

// forgetMaster runs the runbook for a lost master on one that is left.
func forgetMaster(ctx context.Context, d *Drill, survivor, lost *clusters.Node) {
	GinkgoHelper()
	said, err := run(ctx, survivor, forgetScript, lost.Name)
	Expect(d.Told("the runbook forgets "+lost.Name, err)).To(Succeed(), said)
}

// authoritiesPath is where the archive of the authorities is, on both machines, while they need it.
const authoritiesPath = "/root/authorities.tar"

// joinMaster runs both halves of the runbook, the one on a master and the other on the machine that
// becomes one, and measures them.
func joinMaster(ctx context.Context, d *Drill, survivor, machine *clusters.Node) {
	GinkgoHelper()
	began := time.Now()
	said, err := run(ctx, survivor, inviteScript, authoritiesPath)
	Expect(d.Told("the runbook invites a new master", err)).To(Succeed(), said)
	archive, err := survivor.Exec(ctx, "cat", authoritiesPath)
	Expect(err).NotTo(HaveOccurred())
	Expect(machine.WriteFile(ctx, authoritiesPath, archive)).To(Succeed())
	said, err = run(ctx, machine, joinScript, authoritiesPath, "--config="+clusters.KubeadmConfig)
	Expect(d.Told(machine.Name+" joins as a new master", err)).To(Succeed(), said)
	for _, n := range []*clusters.Node{survivor, machine} {
		_, err := n.Exec(ctx, "rm", authoritiesPath)
		Expect(err).NotTo(HaveOccurred())
	}
	Expect(d.TookToRecover("it serves", time.Since(began), d.Timing.Restored())).To(Succeed())
}
