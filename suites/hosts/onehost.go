package hosts

import (
	"context"
	"fmt"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: doubled static pods on one system give some protection from bugs in software;
// the system and its container runtime stay single points of failure (A:L47, A:L52).
var _ = Describe("Doubled components on one operating system", Topology("single-host-static-pods"), Nightly, func() {
	const topology = "single-host-static-pods"

	It("protect from an instance that does not start any more", Claims("TOPO-05"), Component(clusters.APIServer), func(ctx SpecContext) {
		d := On(ctx, topology)
		server := d.Instances(clusters.APIServer)[0]
		exits := d.WatchExits(server)
		d.Then(fault.CrashLoop(server))
		Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(d.FromEndOf(server, exits, d.Timing.LoadBalancer())))
		d.Undo()
		d.AwaitHealed()

		for _, elected := range []struct {
			component clusters.Component
			work      probe.Name
		}{{clusters.Scheduler, probe.Schedule}, {clusters.ControllerManager, probe.Reconcile}} {
			d.Then(fault.CrashLoop(d.Leader(elected.component)))
			Expect(d).To(HandOver(elected.component).Within(d.Timing.HandOverAfterRemoval()))
			Expect(d).To(Pause(elected.work).Within(d.Timing.HandOverAfterRemoval()))
			Expect(d).To(KeepServing(probe.Write))
			d.Undo()
			d.AwaitHealed()
		}
	})

	It("are gone together when it is rebooted", Claims("TOPO-06"), WholeHost, func(ctx SpecContext) {
		d := On(ctx, topology)
		d.Inject(fault.Reboot(d.With(clusters.ControlPlane)...).Losing(clusters.Components...))
		for _, name := range []probe.Name{probe.Write, probe.CachedRead, probe.Workload, probe.Schedule, probe.Reconcile} {
			Expect(d).To(VisiblyPause(name).Within(d.Timing.MastersReturn()))
		}
	})
})

var _ = Describe("The restart of the only container runtime", Topology("single-host-minimal"), Nightly, Component(clusters.ContainerRuntime), func() {
	const topology = "single-host-minimal"

	It("disturbs no container", Claims("TOPO-07"), func(ctx SpecContext) {
		d := On(ctx, topology)
		before := processesOf(ctx, d)
		d.Inject(fault.Terminate(d.Instances(clusters.ContainerRuntime)...).Losing(clusters.ContainerRuntime))
		for _, name := range []probe.Name{probe.Write, probe.CachedRead, probe.Workload, probe.Service, probe.Schedule, probe.Reconcile} {
			Expect(d).To(KeepServing(name))
		}
		d.Undo()
		d.AwaitHealed()
		Expect(d.Told("every component's process is the same", Unless(slices.Equal(processesOf(ctx, d), before), nil))).To(Succeed())
		d.Drifted("containers survive the restart of containerd, in the care of their shims")
	})

	// The control experiment: with the shims it is as it was with dockershim.
	It("takes all of them with it when their shims end too", Claims("TOPO-07"), func(ctx SpecContext) {
		d := On(ctx, topology)
		d.Inject(fault.KillContainers(d.Instances(clusters.ContainerRuntime)...).Losing(clusters.Components...))
		for _, name := range []probe.Name{probe.Write, probe.Workload} {
			Expect(d).To(VisiblyPause(name).Within(d.Timing.MastersReturn()))
		}
	})
})

// processesOf tells the processes of the control plane's components apart from any others.
func processesOf(ctx context.Context, d *Drill) []string {
	GinkgoHelper()
	var all []string
	for _, component := range []clusters.Component{clusters.Etcd, clusters.APIServer, clusters.Scheduler, clusters.ControllerManager} {
		for _, i := range d.Instances(component) {
			p, err := i.Process(ctx)
			Expect(err).NotTo(HaveOccurred())
			all = append(all, fmt.Sprintf("%s: %d since %d", i, p.PID, p.StartTicks))
		}
	}
	return all
}

// Document A: virtual machines on one hypervisor protect from bugs and human error, and let
// systems be updated one after the other; the hypervisor stays a single point of failure
// (A:L45, A:L53).
var _ = Describe("Three masters in virtual machines of one host", Topology("single-host-vms"), Nightly, func() {
	const topology = "single-host-vms"

	It("can be updated one after the other", Claims("TOPO-08"), WholeHost, func(ctx SpecContext) {
		d := On(ctx, topology)
		for _, master := range d.With(clusters.ControlPlane) {
			d.Then(fault.Reboot(master))
			Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(d.Timing.HostLoss()))
			Expect(d).To(KeepServing(probe.Workload))
			d.Undo() // a reboot has ended by itself; this closes it
			d.AwaitHealed()
			Expect(d).To(Resume(probe.CachedRead).On(master).Within(d.Timing.NodeReturn()))
		}
	})

	It("contain what somebody does wrong in one of them", Claims("TOPO-09"), Component(clusters.APIServer), func(ctx SpecContext) {
		d := On(ctx, topology)
		one := d.With(clusters.ControlPlane)[1]
		for _, mistake := range []fault.Fault{
			fault.DeleteManifests(one),
			fault.CrashLoop(one.Instances(clusters.APIServer)...),
			fault.CorruptData(one.Instances(clusters.Etcd)[0], d.Dice().Uint32()),
		} {
			By(mistake.String())
			d.Then(mistake)
			Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(d.Timing.HandOverAfterRemoval()))
			Expect(d).To(Pause(probe.Schedule).Within(d.Timing.HandOverAfterRemoval()))
			Expect(d).To(Pause(probe.Reconcile).Within(d.Timing.HandOverAfterRemoval()))
			Expect(d).To(KeepServing(probe.Workload))
			d.Undo()
			d.AwaitHealed()
		}
	})
})
