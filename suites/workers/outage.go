package workers

import (
	"context"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

var _ = Describe("While no API server runs, workers", Topology(topology), Component(clusters.APIServer), Core, func() {
	It("keep their pods, and nobody evicts them afterwards", Claims("API-08"), func(ctx SpecContext) {
		d := On(ctx, topology)
		victim, other := workers(d)
		occupy(d, victim)
		before := slices.Concat(d.PodsOn(victim), d.PodsOn(other))
		outlastEviction(d, fault.HoldDown(d.Instances(clusters.APIServer)...).Losing(clusters.APIServer))

		nobodyIsGivenUpAfterwards(d)
		Expect(d.Told("their pods are the same, and were not restarted", SamePods(before, slices.Concat(d.PodsOn(victim), d.PodsOn(other))))).To(Succeed())
	})

	It("that restart do not bring their pods back", Claims("API-05"), WholeHost, func(ctx SpecContext) {
		d := On(ctx, topology)
		victim, other := workers(d)
		occupy(d, victim)
		before := d.PodsOn(victim)
		d.Inject(fault.HoldDown(d.Instances(clusters.APIServer)...).Losing(clusters.APIServer))
		d.Then(fault.Reboot(victim))

		Expect(d).To(Lose(probe.Workload).On(victim).Within(d.Timing.Noticed()))
		d.Hold(d.Timing.Binding().Upper)
		Expect(d.Told("its kubelet runs, and none of its pods", nothingRuns(ctx, victim))).To(Succeed())
		Expect(d).To(KeepServing(probe.Workload).On(other))

		d.Undo()
		Expect(d).To(Resume(probe.Workload).On(victim).Within(d.Timing.WholeAgain(d.Outage())))
		Expect(d.BecomesTrue("its pods are the same, were restarted, and are ready", d.Timing.NodeReturn(), restarted(victim, before))).To(Succeed())
		Expect(d.BecomesTrue("all replicas run", d.Timing.NodeReturn(), All(allReady, noPodTooMany))).To(Succeed())
	})
})

// The members are stopped and not held down, for after a crash loop they come back one after the
// other: nodes whose API servers wait for the second one would be called silent by a controller
// manager that has the first.
var _ = Describe("While etcd has no majority, workers", Topology(topology), Component(clusters.Etcd), Core, func() {
	It("keep their pods and restart what crashes, and nobody evicts them afterwards", Claims("ETCD-08"), func(ctx SpecContext) {
		d := On(ctx, topology)
		victim, _ := workers(d)
		occupy(d, victim)
		replicas, crashed := podsOf(ctx, d), named(d.PodsOn(victim), bare)
		outlastEviction(d, fault.Stop(d.EtcdMembers().Majority()...).Losing(clusters.Etcd))
		isRunAgain(ctx, d, d.PodOn(victim, bare))

		nobodyIsGivenUpAfterwards(d)
		Expect(d.Told("the replicas are the same, and were not restarted", SamePods(replicas, podsOf(ctx, d)))).To(Succeed())
		Expect(d.BecomesTrue("the pod that crashed is the same", d.Timing.Noticed(), restarted(victim, crashed))).To(Succeed())
	})
})

// outlastEviction expects what workers run to go on in an outage that is longer than an eviction
// takes.
func outlastEviction(d *Drill, outage fault.Fault) {
	GinkgoHelper()
	d.Inject(outage)
	Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
	d.Hold(d.Timing.LongerThanEviction())
	for _, name := range []probe.Name{probe.Workload, probe.Service, probe.Resolve} {
		Expect(d).To(KeepServing(name))
	}
}

// nobodyIsGivenUpAfterwards ends an outage, and expects that a controller manager that leads again
// has nothing against the nodes.
func nobodyIsGivenUpAfterwards(d *Drill) {
	GinkgoHelper()
	d.Undo()
	Expect(d).To(Resume(probe.Write).Within(d.Timing.ControlPlaneReturn(d.Outage())))
	Expect(d).To(Resume(probe.Reconcile).Within(d.Timing.ControlPlaneReturn(d.Outage())))
	Expect(d.StaysTrueFor("the API calls the workers and their pods ready", d.Timing.NodeNotReady().Upper, AllNodesReady)).To(Succeed())
}

var _ = Describe("With one master", Topology("single-master"), Core, func() {
	const topology = "single-master"

	It("the API goes with it, and the workers' pods run on", Claims("NODE-09"), WholeHost, func(ctx SpecContext) {
		d := On(ctx, topology)
		master := d.With(clusters.ControlPlane)[0]
		d.Inject(fault.PowerOff(master).Losing(clusters.Components...))

		for _, name := range []probe.Name{probe.Write, probe.ConsistentRead, probe.CachedRead} {
			Expect(d).To(Lose(name).Within(d.Timing.Noticed()))
		}
		Expect(d).To(KeepServing(probe.Workload))
		Expect(d).To(KeepServing(probe.Service))

		d.Undo()
		Expect(d).To(Resume(probe.Write).Within(d.Timing.NodeReturn()))
		Expect(d).To(Resume(probe.Schedule).Within(d.Timing.MastersReturn()))
	})

	It("kubelets restart what crashes on their nodes while no API server runs", Claims("API-04"), Component(clusters.APIServer), func(ctx SpecContext) {
		d := On(ctx, topology)
		victim, _ := workers(d)
		Expect(d.StartPodOn(victim, bare)).To(Succeed())
		before := named(d.PodsOn(victim), bare)
		d.Inject(fault.HoldDown(d.Instances(clusters.APIServer)...).Losing(clusters.APIServer))
		Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
		isRunAgain(ctx, d, d.PodOn(victim, bare))

		d.Undo()
		Expect(d.BecomesTrue("the API tells of the restart", d.Timing.ControlPlaneReturn(d.Outage()), restarted(victim, before))).To(Succeed())
	})

	It("a service goes on to lead to a node that dies while no API server runs", Claims("API-06"), Component(clusters.APIServer), WholeHost, func(ctx SpecContext) {
		d := On(ctx, topology)
		victim, other := workers(d)
		Expect(d.BecomesTrue("the service has a pod on each of two workers", d.Timing.Binding(), webIsSpread)).To(Succeed())
		d.Inject(fault.PowerOff(victim))
		d.Inject(fault.HoldDown(d.Instances(clusters.APIServer)...).Losing(clusters.APIServer))

		Expect(d).To(LosePart(probe.Service, 0.5).On(other).Within(d.Timing.Noticed()))
		d.Hold(d.Timing.EndpointsGone().Upper)
		Expect(d).To(KeepServing(probe.Workload).On(other))

		d.UndoLast()
		Expect(d).To(Resume(probe.Service).On(other).Within(d.Timing.StaleEndpoints(d.Outage())))
		d.Undo()
		Expect(d).To(Resume(probe.Workload).On(victim).Within(d.Timing.NodeReturn()))
	})

	It("a worker that is cut off from it is given up while its pods run", Claims("NODE-09"), func(ctx SpecContext) {
		d := On(ctx, topology)
		victim, other := workers(d)
		occupy(d, victim)
		had := replicasOn(ctx, d, victim)
		d.Inject(fault.Partition([]*clusters.Node{victim}, d.With(clusters.ControlPlane)))

		Expect(d).To(MarkNotReady(victim).Within(d.Timing.NodeNotReady()))
		isEmptied(d, victim)
		Expect(d.Told("its own replicas run on", replicasRun(ctx, victim, had))).To(Succeed())
		Expect(d).To(KeepServing(probe.Workload))
		Expect(d).To(KeepServing(probe.Write))
		Expect(d.BecomesTrue("as many replicas as before run on "+other.Name, d.Timing.Binding(), allReady)).To(Succeed())

		d.Undo()
		Expect(d.BecomesTrue("it is called ready again", d.Timing.NodeReturn(), AllNodesReady)).To(Succeed())
		Expect(d.BecomesTrue("there are exactly as many pods as replicas", d.Timing.NodeReturn(), noPodTooMany)).To(Succeed())
	})
})

// isRunAgain kills the process of a pod, and expects its kubelet to run another.
func isRunAgain(ctx context.Context, d *Drill, pod clusters.Instance) {
	GinkgoHelper()
	killed := time.Now()
	d.Then(fault.Kill(pod))
	Expect(d.Took("the kubelet runs it again", restartOf(ctx, d, pod).Sub(killed), d.Timing.StaticPodRestart())).To(Succeed())
}

// restartOf waits until the kubelet has started another container of a pod that had one, by
// the node's own runtime, and returns when that was seen.
func restartOf(ctx context.Context, d *Drill, pod clusters.Instance) time.Time {
	GinkgoHelper()
	ctx, cancel := context.WithTimeout(ctx, 2*d.Timing.StaticPodRestart().Upper)
	defer cancel()
	Expect(clusters.Await(ctx, 100*time.Millisecond, "the restart of "+pod.String(), func(ctx context.Context) error {
		all, err := pod.Containers(ctx)
		if err == nil && (len(all) == 0 || all[0].Attempt == 0 || all[0].State != "CONTAINER_RUNNING") {
			err = fmt.Errorf("its containers are %+v", all)
		}
		return err
	})).To(Succeed())
	return time.Now()
}
