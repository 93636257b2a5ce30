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

	It("nobody takes over from a crashed leader before its lease has run out, and another one does soon after", Claims("LEAD-01", "LEAD-02", "SCHED-04", "KCM-05"),
		Component(clusters.Scheduler), Component(clusters.ControllerManager), func(ctx SpecContext) {
			d := On(ctx, topology)
			d.Inject(fault.HoldDown(d.Leader(clusters.Scheduler), d.Leader(clusters.ControllerManager)))

			for _, component := range groups {
				Expect(d).To(HandOver(component).Elsewhere().Within(d.Timing.LeaseTakeover()))
			}
			Expect(d).To(VisiblyPause(probe.Schedule).As(record.Pending).Within(d.Timing.LeaseTakeover()))
			Expect(d).To(VisiblyPause(probe.Reconcile).As(record.Pending).Within(d.Timing.LeaseTakeover()))
			Expect(d).To(HaveOneActor(groups...))
			Expect(d).To(KeepServing(probe.Write))
		})

	It("nobody takes over from a leader whose host is lost before its lease has run out, and another one does soon after", Claims("LEAD-02", "SCHED-04", "KCM-05"),
		WholeHost, func(ctx SpecContext) {
			d := On(ctx, topology)
			lost := d.Leader(clusters.Scheduler).Node
			leading := d.LeadingOn(lost)
			d.Inject(fault.PowerOff(lost))

			for _, component := range leading {
				Expect(d).To(HandOver(component).Elsewhere().Within(d.Timing.LeaseTakeoverAfterHostLoss()))
			}
			Expect(d).To(VisiblyPause(probe.Schedule).Within(d.Timing.LeaseTakeoverAfterHostLoss()))
			Expect(d).To(Pause(probe.Reconcile).Within(d.Timing.HostLossFailover()))
		})

	It("the scheduler and the controller manager elect independently, and may lead from different masters", Claims("LEAD-09"), Component(clusters.Scheduler), func(ctx SpecContext) {
		d := On(ctx, topology)
		manager := d.Leader(clusters.ControllerManager)
		endUntil(d, clusters.Scheduler, d.Timing.LeaseRelease(), func(leader *clusters.Node) bool { return leader != manager.Node })

		Expect(d).To(KeepServing(probe.Reconcile))
		Expect(d).To(Pause(probe.Schedule).Within(d.Timing.LeaseRelease()))
		Expect(d.LeaseKept(clusters.ControllerManager)).To(Succeed())
	})

	It("a scheduler that stops gracefully hands over at once", Claims("SCHED-04"), Component(clusters.Scheduler), func(ctx SpecContext) {
		d := On(ctx, topology)
		endUntil(d, clusters.Scheduler, d.Timing.LeaseRelease(), anywhere)

		Expect(d).To(Pause(probe.Schedule).Within(d.Timing.LeaseRelease()))
		d.Drifted("a scheduler releases its lease on exit, so that fail-over takes seconds")
	})

	It("a controller manager that stops gracefully is missed as long as one that crashed", Claims("LEAD-01", "KCM-05"), Component(clusters.ControllerManager), func(ctx SpecContext) {
		d := On(ctx, topology)
		endUntil(d, clusters.ControllerManager, d.Timing.LeaseTakeover(), anywhere)

		Expect(d).To(VisiblyPause(probe.Reconcile).As(record.Pending).Within(d.Timing.LeaseTakeover()))
		Expect(d).To(HaveOneActor(clusters.ControllerManager))
	})
})

// endUntil ends the leader of a component gracefully until another node than at first has led, and
// one leads that suits: the former leader may be back in time to be the next one. What a spec
// asserts then is about the last time.
func endUntil(d *Drill, component clusters.Component, within clusters.Bounds, suits func(leader *clusters.Node) bool) {
	GinkgoHelper()
	leader := d.Leader(component)
	first, moved := leader.Node, false
	for tries := 1; !moved || !suits(leader.Node); tries++ {
		Expect(tries).To(BeNumerically("<", 10), "the leaders of %s never suit", component)
		d.Then(fault.Terminate(leader))
		Expect(d).To(HandOver(component).Within(within))
		d.UndoLast() // so that the same one may be told to end again
		leader = d.Leader(component)
		moved = moved || leader.Node != first
	}
}

// anywhere suits everybody.
func anywhere(*clusters.Node) bool { return true }

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
