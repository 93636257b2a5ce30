package components

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

var _ = Describe("Without a scheduler", Topology("single-host-minimal"), Component(clusters.Scheduler), Core, func() {
	It("no pod is placed and everything else goes on", Smoke, Claims("SCHED-01"), func(ctx SpecContext) {
		NothingIsPlaced(On(ctx, "single-host-minimal"))
	})
})

// NothingIsPlaced is the experiment of SCHED-01; sabotage runs use it too.
func NothingIsPlaced(d *Drill) {
	GinkgoHelper()
	d.Inject(fault.Stop(d.Instances(clusters.Scheduler)...).Losing(clusters.Scheduler))

	Expect(d).To(Lose(probe.Schedule).Within(d.Timing.Noticed()))
	Expect(d.Attempt("create a pod", startPod)).To(BeAccepted())
	Expect(d.StartBoundPod()).To(Succeed())
	Expect(d).To(KeepServing(probe.Write))
	Expect(d).To(KeepServing(probe.Reconcile))
	Expect(d).To(KeepServing(probe.Workload))

	d.Undo()
	Expect(d).To(Resume(probe.Schedule).Within(d.Timing.StaticPodReturn()))
	Expect(d.BindEveryPod()).To(Succeed())
}
