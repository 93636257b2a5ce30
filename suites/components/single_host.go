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

// crash is what the crash of a component costs on a single host.
type crash struct {
	of      clusters.Component
	pausing []probe.Name
	ways    []record.Way
	pause   func(*Drill) clusters.Bounds
	serving []probe.Name
}

// Document A's first row: one host with one of everything (A:L50). The document
// calls every component a single point of failure. Today the kubelet restarts
// a crashed static pod within seconds, so that a crash is a pause, and only
// elected components pause for longer, because their lease has to run out.
var _ = Describe("On a single host with one of everything", Topology("single-host-minimal"), Core, func() {
	requests := []probe.Name{probe.Write, probe.ConsistentRead, probe.CachedRead}
	workloads := []probe.Name{probe.Workload, probe.Service}
	anyWay, waiting := []record.Way{}, []record.Way{record.Pending}
	restarted := func(d *Drill) clusters.Bounds { return d.Timing.StaticPodRestart() }
	elected := func(d *Drill) clusters.Bounds { return d.Timing.LeaseReturn(d.Outage()) }

	DescribeTable("a crash of", Claims("TOPO-01"),
		func(ctx SpecContext, c crash) {
			d := On(ctx, "single-host-minimal")
			d.Inject(fault.Kill(d.Instances(c.of)...).Losing(c.of))

			for _, name := range c.pausing {
				Expect(d).To(VisiblyPause(name).As(c.ways...).Within(c.pause(d)))
			}
			for _, name := range c.serving {
				Expect(d).To(KeepServing(name))
			}
			d.Drifted("a crash of one process is a pause, because the kubelet restarts static pods")
		},
		Entry("etcd stops every change and every consistent read until the kubelet restarts it", Smoke, Component(clusters.Etcd),
			crash{clusters.Etcd, requests[:2], anyWay, restarted, workloads}),
		Entry("the API server stops every request until the kubelet restarts it", Component(clusters.APIServer),
			crash{clusters.APIServer, requests, anyWay, restarted, workloads}),
		Entry("the scheduler places no pod until its lease has run out", Component(clusters.Scheduler),
			crash{clusters.Scheduler, []probe.Name{probe.Schedule}, waiting, elected, []probe.Name{probe.Write, probe.Reconcile}}),
		Entry("the controller manager runs no control loop until its lease has run out", Component(clusters.ControllerManager),
			crash{clusters.ControllerManager, []probe.Name{probe.Reconcile}, waiting, elected, []probe.Name{probe.Write, probe.Schedule}}),
	)
})
