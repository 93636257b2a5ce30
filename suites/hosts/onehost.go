package hosts

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/kubernetes"

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
		takeover := d.Timing.LeaseTakeover()
		for _, elected := range []struct {
			component clusters.Component
			work      probe.Name
			takeover  clusters.Bounds
		}{
			{clusters.Scheduler, probe.Schedule, clusters.Bounds{Upper: takeover.Upper}}, // it releases its lease, if it has the time
			{clusters.ControllerManager, probe.Reconcile, takeover},
		} {
			leader := d.Leader(elected.component)
			exits, others := d.WatchExits(leader), processesOf(ctx, d, leader)
			d.Then(fault.CrashLoop(leader))
			within := d.FromEndOf(leader, exits, elected.takeover)
			Expect(d).To(HandOver(elected.component).Within(within))
			Expect(d).To(Pause(elected.work).Within(clusters.Bounds{Upper: within.Upper}))
			Expect(d).To(KeepServing(probe.Write))
			d.Undo()
			d.AwaitHealed()
			Expect(d.Told("no other instance was restarted", Unless(slices.Equal(processesOf(ctx, d, leader), others), nil))).To(Succeed())
		}

		// The last, because who talks to it and leads gives up without it.
		server := d.Instances(clusters.APIServer)[0]
		hit := clusters.Instances{server, d.Instances(clusters.Scheduler)[0], d.Instances(clusters.ControllerManager)[0]}
		exits, others := d.WatchExits(server), processesOf(ctx, d, hit...)
		d.Then(fault.CrashLoop(server))
		Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(d.FromEndOf(server, exits, d.Timing.LoadBalancer())))
		d.Undo()
		d.AwaitHealed()
		Expect(d.Told("no instance that does not need it was restarted", Unless(slices.Equal(processesOf(ctx, d, hit...), others), nil))).To(Succeed())
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

// processesOf tells the processes of the control plane's components, but for some instances, apart
// from any others.
func processesOf(ctx context.Context, d *Drill, but ...clusters.Instance) []string {
	GinkgoHelper()
	var all []string
	for _, component := range clusters.Stack {
		for _, i := range d.Instances(component).Except(but...) {
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
			Expect(d).To(Pause(probe.CachedRead).On(master).Within(d.Timing.NodeReturn()))
			d.Undo() // a reboot has ended by itself; this closes it
			d.AwaitHealed()
		}
	})

	It("contain what somebody does wrong in one of them", Claims("TOPO-09"), Component(clusters.APIServer), func(ctx SpecContext) {
		d := On(ctx, topology)
		leading := func() *clusters.Node { return d.Leader(clusters.ControllerManager).Node }
		beContained(d, fault.DeleteManifests(leading()))
		d.Undo()
		d.AwaitHealed()

		beContained(d, fault.CrashLoop(leading().Instances(clusters.APIServer)...))
		d.Undo()
		d.AwaitHealed()

		member := leading().Instances(clusters.Etcd)[0]
		beContained(d, fault.CorruptData(member, d.Dice().Uint32()))
		Expect(d.BecomesTrue("the member tells that its data is not that of the others, or that it cannot compare it",
			d.Timing.MemberReturn(), distrustsItself(member))).To(Succeed())
	})
})

// beContained makes a mistake on the master whose controller manager leads: the others serve and
// lead, and a lease that nobody could give up runs out first.
func beContained(d *Drill, mistake fault.Fault) {
	GinkgoHelper()
	By(mistake.String())
	d.Then(mistake)
	within := d.Timing.HandOverAfterRemoval()
	Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(within))
	Expect(d).To(HandOver(clusters.ControllerManager).Elsewhere().Within(clusters.Bounds{Lower: d.Timing.LeaseTakeover().Lower, Upper: within.Upper}))
	Expect(d).To(Pause(probe.Schedule).Within(within))
	Expect(d).To(Pause(probe.Reconcile).Within(within))
	Expect(d).To(KeepServing(probe.Workload))
}

// distrustsItself fails unless the log of a member of etcd tells that its data is not that of the
// others. One that was down while the others compacted theirs cannot compare it.
func distrustsItself(member clusters.Instance) Request {
	return func(ctx context.Context, _ kubernetes.Interface) error {
		log, err := member.Log(ctx, 500)
		if err != nil {
			return err
		}
		return Unless(bytes.Contains(log, []byte("found data inconsistency with peers")) ||
			bytes.Contains(log, []byte("found different compact revision values")), nil)
	}
}
