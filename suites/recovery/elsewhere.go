package recovery

import (
	"context"
	"errors"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: the backup has to be in another failure domain than what it is of (A:L99).
var _ = Describe("The archive of a master's backup", Topology("single-master"), Nightly, Runbook, Component(clusters.Etcd), func() {
	It("is lost with the master where it is kept there only, and restores it from another host", Claims("DR-03", "DR-09"), func(ctx SpecContext) {
		d := On(ctx, "single-master")
		master, worker := d.With(clusters.ControlPlane)[0], Workers(d.Nodes)[0]
		d.Afterwards(takeAwayNeighbours)
		Expect(d.Attempt("create an object before the backup", create(kept))).To(BeAccepted())
		b, err := takeBackup(ctx, master)
		Expect(d.Told("a backup is taken", err)).To(Succeed())
		takeCopiesAway(d, worker)
		Expect(d.Told("a copy stays on the master, and another goes to a worker", b.place(ctx, master, worker))).To(Succeed())
		b.archive = nil // from now on there is what the machines have

		By("losing the master")
		d.Inject(fault.Erase(master).Losing(clusters.Components...))
		Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
		Expect(d).To(KeepServing(probe.Workload))
		_, err = master.Exec(ctx, "test", "!", "-e", ownCopy)
		Expect(d.Told("the master's own copy is gone with it", err)).To(Succeed())
		said, err := b.useFile(ctx, restoreScript, master, ownCopy)
		Expect(d.Told("the runbook has nothing to restore there", refused(said, err, "missing or empty"))).To(Succeed())
		d.Hold(d.Timing.QuorumReturn().Upper)

		By("restoring the copy of the worker")
		said, err = b.useFile(ctx, restoreScript, worker, archivePath)
		Expect(d.Told("the worker itself, with another name and address, is not made the master", refused(said, err, "would not fit"))).To(Succeed())
		b.archive, err = worker.Exec(ctx, "cat", archivePath)
		Expect(d.Told("the worker has its copy", err)).To(Succeed())
		restoreFrom(ctx, d, b, master)
		Expect(d.BecomesTrue("what was created before the backup is there", d.Timing.Noticed(), exists(kept, true))).To(Succeed())
		recovered(d)
	})
})

// ownCopy is where a master has the archive among what it would be needed for.
const ownCopy = "/etc/kubernetes/backup.archive"

// place leaves a copy of the archive on the master, and another on the worker.
func (b backup) place(ctx context.Context, master, worker *clusters.Node) error {
	return errors.Join(master.WriteFile(ctx, ownCopy, b.archive), worker.WriteFile(ctx, archivePath, b.archive))
}

// takeCopiesAway removes the worker's copy when the spec is over. That of the master is gone, unless
// the spec has failed and its undo brings it back.
func takeCopiesAway(d *Drill, worker *clusters.Node) {
	DeferCleanup(func(ctx SpecContext) {
		if _, err := worker.Exec(ctx, "rm", "-f", archivePath); err != nil || CurrentSpecReport().Failed() {
			d.EndsHere()
		}
	})
}
