// Package hosts holds the specs of document A's option tables: what the loss of a
// whole host costs in each layout.
package hosts

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

var _ = Describe("Three hosts with etcd and masters on each", Topology("three-host-stacked"), WholeHost, func() {
	It("survive the loss of the host that leads etcd", Core, Claims("TOPO-18"), func(ctx SpecContext) {
		d := On(ctx, "three-host-stacked")
		SurviveTheLossOf(d, d.Leader(clusters.Etcd).Node.Host)
	})
})

// SurviveTheLossOf is the experiment of TOPO-18 on one of the hosts, whatever was lost before.
func SurviveTheLossOf(d *Drill, host string) {
	GinkgoHelper()
	lost := d.Host(host)
	d.Then(fault.PowerOff(lost...))

	Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(d.Timing.HostLoss()))
	Expect(d).To(Pause(probe.ConsistentRead).Through(d.Front()).Within(d.Timing.HostLoss()))
	Expect(d).To(Pause(probe.Schedule).Within(d.Timing.HostLossFailover()))
	Expect(d).To(Pause(probe.Reconcile).Within(d.Timing.HostLossFailover()))
	Expect(d).To(MarkNotReady(lost...).Within(d.Timing.NodeNotReady()))
	Expect(d.ReadyNodes()).To(Equal(len(d.Nodes) - len(lost)))
	Expect(d).To(KeepServing(probe.Workload).On(d.Survivors(host)...))

	d.Undo()
	Expect(d).To(Resume(probe.CachedRead).On(Masters(lost)...).Within(d.Timing.NodeReturn()))
	Expect(d).To(Resume(probe.Workload).On(Workers(lost)...).Within(d.Timing.NodeReturn()))
}
