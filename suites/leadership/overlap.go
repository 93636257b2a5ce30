package leadership

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
)

// Document B: there is one leader in the store at a time, which does not mean that two
// never both believe that they lead (B:L61 to B:L63).
var _ = Describe("A leader among three masters", Topology("three-host-stacked"), Core, func() {
	const topology = "three-host-stacked"

	It("stops before others may take over when it cannot renew, and is a follower when it is back", Claims("LEAD-10"), Component(clusters.Scheduler), func(ctx SpecContext) {
		d := On(ctx, topology)
		leader := d.Leader(clusters.Scheduler)
		exits := d.WatchExits(leader)
		// kubeadm lets a scheduler talk to the API server of its own node only.
		d.Inject(fault.HoldDown(leader.Node.Instances(clusters.APIServer)...))

		Expect(d).To(GiveUp(leader, exits).Within(d.Timing.LeaderGivesUp()))
		Expect(d).To(HandOver(clusters.Scheduler).Within(d.Timing.LeaseTakeover()))
		gap := d.HandedOver(clusters.Scheduler) - d.Ended(leader, exits, 0)
		Expect(d.Took("nobody leads until another takes over", gap, d.Timing.LeaderlessGap())).To(Succeed())

		changes := d.HandOvers(clusters.Scheduler)
		d.Undo()
		Expect(d.BecomesTrue("the former leader runs again, and does not lead", d.Timing.CrashLoopReturn(d.Outage()), follows(leader))).To(Succeed())
		Expect(d).To(HaveOneActor(clusters.Scheduler).For(clusters.LeaseDuration))
		Expect(d.Told("the lease has not changed hands again", Unless(d.HandOvers(clusters.Scheduler) == changes, nil))).To(Succeed())
	})

	It("that was stopped for longer than its lease believes that it still leads when it goes on", Claims("SPLIT-01"), Component(clusters.ControllerManager), func(ctx SpecContext) {
		d := On(ctx, topology)
		former := d.Leader(clusters.ControllerManager)
		exits := d.WatchExits(former)
		d.Inject(fault.Pause(former))
		Expect(d).To(HandOver(clusters.ControllerManager).Within(d.Timing.LeaseTakeover()))
		successor := d.Leader(clusters.ControllerManager)

		thawed := time.Now()
		d.Undo()
		Expect(d.Told("the former leader believes that it leads while another holds the lease", both(ctx, former, successor))).To(Succeed())
		ended := d.Ended(former, exits, d.Timing.DeposedLeader().Upper)
		Expect(d.Took("the former leader acts beside the new one until it gives up", ended-d.At(thawed), d.Timing.DeposedLeader())).To(Succeed())
		Expect(d.Acts(former, thawed)).To(Succeed(), "beside the new leader")
		Expect(d).To(HaveOneActor(clusters.ControllerManager))
	})
})

// follows fails unless an instance answers that it does not lead.
func follows(i clusters.Instance) Request {
	return func(ctx context.Context, _ kubernetes.Interface) error {
		leads, err := i.Leads(ctx)
		if err != nil {
			return err
		}
		return Unless(!leads, nil)
	}
}

// both fails unless both say that they lead, one directly after the other.
func both(ctx SpecContext, former, successor clusters.Instance) error {
	old, err := former.Leads(ctx)
	if err != nil {
		return err
	}
	now, err := successor.Leads(ctx)
	if err != nil {
		return err
	}
	return Unless(old && now, nil)
}
