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

// Document A's first row: one host with one of everything (A:L50). The document
// calls every component a single point of failure. Today the kubelet restarts
// a crashed static pod within seconds, so that a crash is a pause, and only
// elected components pause for longer, because their lease has to run out.
var _ = Describe("On a single host with one of everything", Topology("single-host-minimal"), Core, func() {
	requests := []probe.Name{probe.Write, probe.ConsistentRead, probe.CachedRead}
	workloads := []probe.Name{probe.Workload, probe.Service}
	anyWay, waiting := []record.Way{}, []record.Way{record.Pending}

	DescribeTable("a crash of", Claims("TOPO-01"),
		func(ctx SpecContext, component clusters.Component, pausing []probe.Name, ways []record.Way, pause func(clusters.Timing) clusters.Bounds, serving []probe.Name) {
			d := On(ctx, "single-host-minimal")
			d.Inject(fault.Kill(d.Instances(component)...).Losing(component))

			for _, name := range pausing {
				Expect(d).To(VisiblyPause(name).As(ways...).Within(pause(d.Timing)))
			}
			for _, name := range serving {
				Expect(d).To(KeepServing(name))
			}
			d.Drifted("a crash of one process is a pause, because the kubelet restarts static pods")
		},
		Entry("etcd stops every change and every consistent read until the kubelet restarts it", Smoke, Component(clusters.Etcd),
			clusters.Etcd, requests[:2], anyWay, clusters.Timing.StaticPodRestart, workloads),
		Entry("the API server stops every request until the kubelet restarts it", Component(clusters.APIServer),
			clusters.APIServer, requests, anyWay, clusters.Timing.StaticPodRestart, workloads),
		Entry("the scheduler places no pod until its lease has run out", Component(clusters.Scheduler),
			clusters.Scheduler, []probe.Name{probe.Schedule}, waiting, clusters.Timing.LeaseReturn, []probe.Name{probe.Write, probe.Reconcile}),
		Entry("the controller manager runs no control loop until its lease has run out", Component(clusters.ControllerManager),
			clusters.ControllerManager, []probe.Name{probe.Reconcile}, waiting, clusters.Timing.LeaseReturn, []probe.Name{probe.Write, probe.Schedule}),
	)
})
