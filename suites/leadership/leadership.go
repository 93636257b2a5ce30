// Package leadership holds the specs of document B's leader election (B:L28 to
// B:L61) and of fail-over in document A's table.
package leadership

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	"faultline/reports/record"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Before the specs that disturb etcd, because one of those needs a quiet minute.
var _ = Describe("Among three masters", Topology("three-host-stacked"), Core, func() {
	const topology = "three-host-stacked"

	It("exactly one scheduler and one controller manager act", Claims("LEAD-01"), func(ctx SpecContext) {
		OneOfEachActs(On(ctx, topology))
	})

	It("nobody takes over from a crashed leader before its lease has run out, and somebody does soon after", Claims("LEAD-02", "SCHED-04", "KCM-05"),
		Component(clusters.Scheduler), Component(clusters.ControllerManager), func(ctx SpecContext) {
			d := On(ctx, topology)
			d.Inject(fault.Kill(d.Leader(clusters.Scheduler), d.Leader(clusters.ControllerManager)))

			Expect(d).To(HandOver(clusters.Scheduler).Within(d.Timing.LeaseTakeover()))
			Expect(d).To(HandOver(clusters.ControllerManager).Within(d.Timing.LeaseTakeover()))
			Expect(d).To(VisiblyPause(probe.Schedule).As(record.Pending).Within(d.Timing.LeaseTakeover()))
			Expect(d).To(VisiblyPause(probe.Reconcile).As(record.Pending).Within(d.Timing.LeaseTakeover()))
			Expect(d).To(KeepServing(probe.Write))
		})

	It("the scheduler and the controller manager elect independently, and may lead from different masters", Claims("LEAD-09"), Component(clusters.Scheduler), func(ctx SpecContext) {
		d := On(ctx, topology)
		manager := d.Leader(clusters.ControllerManager)
		for tries := 1; ; tries++ {
			Expect(tries).To(BeNumerically("<", 10), "the schedulers never leave the master that leads the controller managers")
			d.Then(fault.Terminate(d.Leader(clusters.Scheduler)))
			Expect(d).To(HandOver(clusters.Scheduler).Within(d.Timing.LeaseRelease()))
			d.UndoLast() // so that the same one may be told to end again
			if d.Leader(clusters.Scheduler).Node != manager.Node {
				break
			}
		}
		Expect(d).To(KeepServing(probe.Reconcile))
		Expect(d).To(Pause(probe.Schedule).Within(d.Timing.LeaseRelease()))
		Expect(d.LeaseKept(clusters.ControllerManager)).To(Succeed())
	})

	It("a scheduler that stops gracefully hands over at once", Claims("SCHED-04"), Component(clusters.Scheduler), func(ctx SpecContext) {
		d := On(ctx, topology)
		d.Inject(fault.Terminate(d.Leader(clusters.Scheduler)))

		Expect(d).To(HandOver(clusters.Scheduler).Within(d.Timing.LeaseRelease()))
		Expect(d).To(Pause(probe.Schedule).Within(d.Timing.LeaseRelease()))
		d.Drifted("a scheduler releases its lease on exit, so that fail-over takes seconds")
	})

	It("a controller manager that stops gracefully is missed as long as one that crashed", Claims("KCM-05"), Component(clusters.ControllerManager), func(ctx SpecContext) {
		d := On(ctx, topology)
		d.Inject(fault.Terminate(d.Leader(clusters.ControllerManager)))

		Expect(d).To(HandOver(clusters.ControllerManager).Within(d.Timing.LeaseTakeover()))
		Expect(d).To(VisiblyPause(probe.Reconcile).As(record.Pending).Within(d.Timing.LeaseTakeover()))
	})
})

// OneOfEachActs is the experiment of LEAD-01; sabotage runs use it too.
func OneOfEachActs(d *Drill) {
	GinkgoHelper()
	Expect(d).To(HaveOneActor(clusters.Scheduler, clusters.ControllerManager).For(clusters.LeaseDuration))
}

var _ = Describe("The only scheduler and the only controller manager", Topology("single-host-minimal"), Core, func() {
	It("wait for the leases of their own predecessors", Claims("LEAD-11"),
		Component(clusters.Scheduler), Component(clusters.ControllerManager), func(ctx SpecContext) {
			d := On(ctx, "single-host-minimal")
			lone := clusters.Instances{d.Leader(clusters.Scheduler), d.Leader(clusters.ControllerManager)}
			d.Inject(fault.Kill(lone...).Losing(clusters.Scheduler, clusters.ControllerManager))

			for _, component := range groups {
				Expect(d).To(HandOver(component).Within(d.Timing.LeaseReturn(d.Outage())))
			}
			Expect(d).To(VisiblyPause(probe.Schedule).As(record.Pending).Within(d.Timing.LeaseReturn(d.Outage())))
			Expect(d).To(VisiblyPause(probe.Reconcile).As(record.Pending).Within(d.Timing.LeaseReturn(d.Outage())))
			d.Drifted("a restarted component has another name, so it waits for the lease of its own predecessor to run out")
		})
})
