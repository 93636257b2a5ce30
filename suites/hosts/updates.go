package hosts

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: updates and changes of the configuration can be applied safely where there are
// several masters (A:L10, A:L62, A:L68).
var _ = Describe("A change of the API servers' configuration", Topology("three-host-stacked"), Component(clusters.APIServer), Nightly, func() {
	It("rolls from master to master, and a bad one is contained by the first", Claims("OPS-04"), func(ctx SpecContext) {
		ChangesRoll(On(ctx, "three-host-stacked"))
	})
})

// ChangesRoll is the experiment of OPS-04; sabotage runs use it too.
func ChangesRoll(d *Drill) {
	GinkgoHelper()
	servers := d.Instances(clusters.APIServer)
	for _, server := range servers {
		By("changing " + server.String())
		exits := d.WatchExits(server)
		d.Then(fault.SetFlag("--v=1", server))
		Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(d.FromEndOf(server, exits, d.Timing.LoadBalancer())))
		Expect(d).To(Pause(probe.CachedRead).On(server.Node).Within(d.Timing.StaticPodReturn()))
	}
	for range servers {
		d.UndoLast()
		Expect(d).To(Resume(probe.CachedRead).Within(d.Timing.StaticPodReturn()))
	}
	d.AwaitHealed()

	By("changing the first for the worse")
	exits := d.WatchExits(servers[0])
	d.Then(fault.CrashLoop(servers[0]))
	Expect(d).To(Lose(probe.CachedRead).On(servers[0].Node).Within(d.Timing.Noticed()))
	Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(d.FromEndOf(servers[0], exits, d.Timing.LoadBalancer())))
	Expect(d).To(KeepServing(probe.CachedRead).On(servers[1].Node, servers[2].Node))
	d.Undo()
	Expect(d).To(Resume(probe.CachedRead).On(servers[0].Node).Within(d.Timing.StaticPodReturn()))
}
