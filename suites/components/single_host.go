package components

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A's first row: one host with one of everything (A:L50). The document
// calls every component a single point of failure. Today the kubelet restarts
// a crashed static pod within seconds, so that a crash is a pause, and only
// elected components pause for longer, because their lease has to run out.
var _ = Describe("On a single host with one of everything", Topology("single-host-minimal"), Core, SpecPriority(10), func() {
	const topology = "single-host-minimal"
	const blip = "a crash of one process is a pause, because the kubelet restarts static pods"

	It("stops every request when etcd crashes, until the kubelet restarts it", Smoke, Claims("TOPO-01"), Component(clusters.Etcd), func(ctx SpecContext) {
		d := On(ctx, topology)
		d.Inject(fault.Kill(d.EtcdMembers()...))

		Expect(d).To(VisiblyPause(probe.Write).Within(d.Timing.StaticPodRestart()))
		Expect(d).To(VisiblyPause(probe.ConsistentRead).Within(d.Timing.StaticPodRestart()))
		Expect(d).To(KeepServing(probe.Workload))
		Expect(d).To(KeepServing(probe.Service))
		d.Drifted(blip)
	})

	It("stops every request when the API server crashes, until the kubelet restarts it", Claims("TOPO-01"), Component(clusters.APIServer), func(ctx SpecContext) {
		d := On(ctx, topology)
		d.Inject(fault.Kill(d.Instances(clusters.APIServer)...))

		Expect(d).To(VisiblyPause(probe.CachedRead).Within(d.Timing.StaticPodRestart()))
		Expect(d).To(VisiblyPause(probe.Write).Within(d.Timing.StaticPodRestart()))
		Expect(d).To(KeepServing(probe.Workload))
		Expect(d).To(KeepServing(probe.Service))
		d.Drifted(blip)
	})

	It("places no pod when the scheduler crashes, until its lease has run out", Claims("TOPO-01"), Component(clusters.Scheduler), func(ctx SpecContext) {
		d := On(ctx, topology)
		d.Inject(fault.Kill(d.Instances(clusters.Scheduler)...))

		Expect(d).To(VisiblyPause(probe.Schedule).Within(d.Timing.LeaseReturn()))
		Expect(d).To(KeepServing(probe.Write))
		Expect(d).To(KeepServing(probe.Reconcile))
		d.Drifted(blip)
	})

	It("runs no control loop when the controller manager crashes, until its lease has run out", Claims("TOPO-01"), Component(clusters.ControllerManager), func(ctx SpecContext) {
		d := On(ctx, topology)
		d.Inject(fault.Kill(d.Instances(clusters.ControllerManager)...))

		Expect(d).To(VisiblyPause(probe.Reconcile).Within(d.Timing.LeaseReturn()))
		Expect(d).To(KeepServing(probe.Write))
		Expect(d).To(KeepServing(probe.Schedule))
		d.Drifted(blip)
	})
})
