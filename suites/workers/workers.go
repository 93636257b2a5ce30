// Package workers holds the specs of what the documents say about the loss of worker nodes
// and of what runs on them (A:L36, A:L37, B:L5, B:L13).
package workers

import (
	"context"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

const topology = "multi-master"

// shared are the probes of what no single worker carries.
var shared = []probe.Name{probe.Write, probe.CachedRead, probe.Schedule, probe.Reconcile}

var _ = Describe("The loss of a worker", Topology(topology), Core, WholeHost, func() {
	It("is noticed, hurts nobody else, and its pods are made anew elsewhere unless they are bare", Claims("NODE-01", "NODE-02", "NODE-03", "NODE-04"), func(ctx SpecContext) {
		AWorkerIsReplaced(On(ctx, topology))
	})

	It("is not noticed without a controller manager until one is back", Claims("KCM-02"), Component(clusters.ControllerManager), func(ctx SpecContext) {
		d := On(ctx, topology)
		victim, _ := workers(d)
		occupy(d, victim)
		// In this order the controller managers come back first, to a worker that is dead.
		d.Inject(fault.PowerOff(victim))
		d.Inject(fault.HoldDown(d.Instances(clusters.ControllerManager)...).Losing(clusters.ControllerManager))

		Expect(d.StaysTrueFor("the API calls the dead node and its pods ready", d.Timing.NodeNotReady().Upper, stillReady(victim))).To(Succeed())
		Expect(d).To(KeepServing(probe.Write))

		back := time.Now()
		d.UndoLast()
		noticed := d.Timing.NodeNoticed(d.Outage())
		Expect(d).To(Resume(probe.Reconcile).Within(d.Timing.ControlPlaneReturn(d.Outage())))
		Expect(d.BecomesTrue("the API calls the dead node not ready", clusters.Bounds{Upper: noticed.Upper}, notReady(victim))).To(Succeed())
		Expect(d.Took("a controller manager that is back notices the dead node", time.Since(back), noticed)).To(Succeed())

		d.Undo()
		Expect(d.BecomesTrue("it is called ready again", d.Timing.NodeReturn(), AllNodesReady)).To(Succeed())
	})

	It("empties it, and without a scheduler nobody finds its pods another place", Claims("SCHED-03"), Component(clusters.Scheduler), func(ctx SpecContext) {
		d := On(ctx, topology)
		victim, _ := workers(d)
		occupy(d, victim)
		d.Inject(fault.Stop(d.Instances(clusters.Scheduler)...).Losing(clusters.Scheduler))
		d.Then(fault.PowerOff(victim))

		isEmptied(d, victim)
		Expect(d.BecomesTrue("their replacements are made", d.Timing.Noticed(), somePending)).To(Succeed())
		Expect(d.StaysTrue("their replacements have no node", somePending)).To(Succeed())

		d.UndoLast()
		Expect(d.BecomesTrue("the worker is called ready again", d.Timing.NodeReturn(), AllNodesReady)).To(Succeed())
		Expect(d.StaysTrue("their replacements have no node even so", somePending)).To(Succeed())
		d.Undo()
		Expect(d.BecomesTrue("all replicas run", d.Timing.ControlPlaneReturn(d.Outage()), allReady)).To(Succeed())
	})

	It("takes a lone replica away for as long as an eviction takes, and of several one", Claims("WORK-08"), func(ctx SpecContext) {
		ALoneReplicaIsMissed(ctx, On(ctx, topology))
	})

	It("for less than a bare pod tolerates has the same pod run again", Claims("NODE-03"), func(ctx SpecContext) {
		d := On(ctx, topology)
		victim, _ := workers(d)
		Expect(d.StartPod(patientPod(d, victim, patient))).To(Succeed())
		before := named(d.PodsOn(victim), patient)
		d.Inject(fault.PowerOff(victim))

		Expect(d).To(MarkNotReady(victim).Within(d.Timing.NodeNotReady()))
		Expect(d.BecomesTrue("it is tainted as unreachable", d.Timing.Noticed(), isTainted(victim))).To(Succeed())
		Expect(d.StaysTrue("nobody touches the pod", podIs(patient, kept))).To(Succeed())

		d.Undo()
		Expect(d.BecomesTrue("the pod is the same, was restarted, and is ready", d.Timing.NodeReturn(), restarted(victim, before))).To(Succeed())
	})

	It("for a short time is ridden out", Claims("NODE-05"), func(ctx SpecContext) {
		d := On(ctx, topology)
		victim, other := workers(d)
		occupy(d, victim)
		before := d.PodsOn(victim)

		By("stopping for less than the grace period")
		d.Then(fault.Freeze(victim))
		Expect(d.StaysTrueFor("nothing happens", d.Timing.NodeNotReady().Lower/2, stillReady(victim))).To(Succeed())
		d.Undo()
		Expect(d).To(Resume(probe.Workload).On(victim).Within(d.Timing.Noticed()))
		Expect(d.Told("its pods are the same, and were not restarted", SamePods(before, d.PodsOn(victim)))).To(Succeed())

		By("stopping until it is called not ready, and long after that for less than a pod tolerates")
		Expect(d.StartPod(patientPod(d, victim, patient))).To(Succeed())
		before = named(d.PodsOn(victim), patient)
		d.Then(fault.Freeze(victim))
		Expect(d).To(MarkNotReady(victim).Within(d.Timing.NodeNotReady()))
		Expect(d.StaysTrueFor("nobody evicts the pod", d.Timing.LongSilence(), podIs(patient, kept))).To(Succeed())
		Expect(d).To(KeepServing(probe.Workload).On(other))
		d.Undo()
		Expect(d.BecomesTrue("it is called ready again", d.Timing.NodeReturn(), stillReady(victim))).To(Succeed())
		Expect(d.Told("the pod is the same, and was not restarted", SamePods(before, former(before, d.PodsOn(victim))))).To(Succeed())
	})
})

// A node that is made anew gets other addresses for its pods, which those that start before its
// network's agent do not know: the cluster is not used again.
var _ = Describe("A worker that is lost for good", Topology("single-master"), Core, WholeHost, func() {
	It("takes its pods with it once its node is deleted, and hurts nobody else", Claims("NODE-04"), func(ctx SpecContext) {
		d := On(ctx, "single-master")
		victim, other := workers(d)
		occupy(d, victim)
		before := d.PodsOn(other)
		d.Inject(fault.PowerOff(victim))
		Expect(d).To(MarkNotReady(victim).Within(d.Timing.NodeNotReady()))

		d.EndsHere()
		Expect(d.Attempt("forget the lost worker", DeleteNode(victim.Name))).To(BeAccepted())
		Expect(d.BecomesTrue("no pod is on it any more", d.Timing.OrphansCollected(), hasNoPods(victim))).To(Succeed())
		Expect(d.BecomesTrue("as many replicas as before run elsewhere", d.Timing.Binding(), All(allReady, noPodTooMany))).To(Succeed())
		for _, name := range shared {
			Expect(d).To(KeepServing(name))
		}
		Expect(d).To(KeepServing(probe.Workload).On(other))
		Expect(d.Told("the other worker's pods are the same, and were not restarted", SamePods(before, former(before, d.PodsOn(other))))).To(Succeed())

		d.Undo()
		Expect(d.BecomesTrue("its kubelet makes its node anew", d.Timing.NodeReturn(), NodeJoined(victim.Name))).To(Succeed())
	})
})

var _ = Describe("A worker whose", Topology(topology), Core, func() {
	It("kubelet is gone runs its pods beside their replacements", Claims("NODE-06"), Component(clusters.Kubelet), func(ctx SpecContext) {
		d := On(ctx, topology)
		victim, _ := workers(d)
		occupy(d, victim)
		had := replicasOn(ctx, d, victim)
		d.Inject(fault.StopService(victim.Instances(clusters.Kubelet)...))

		Expect(d).To(MarkNotReady(victim).Within(d.Timing.NodeNotReady()))
		isEmptied(d, victim)
		Expect(d.BecomesTrue("as many replicas as before run elsewhere", d.Timing.Binding(), allReady)).To(Succeed())
		Expect(d.Told("its own replicas run on", replicasRun(ctx, victim, had))).To(Succeed())
		Expect(d).To(KeepServing(probe.Workload).On(victim))

		d.Undo()
		Expect(d.BecomesTrue("there are exactly as many pods as replicas", d.Timing.NodeReturn(), noPodTooMany)).To(Succeed())
		Expect(d.Told("its kubelet runs, and none of the pods that it had", nothingRuns(ctx, victim))).To(Succeed())
		d.Drifted("pods that are taken for failed run on beside their replacements until the kubelet is back")
	})

	It("container runtime is gone cannot manage pods, which run on", Claims("NODE-08"), Component(clusters.ContainerRuntime), func(ctx SpecContext) {
		d := On(ctx, topology)
		victim, _ := workers(d)
		Expect(d.StartPod(patientPod(d, victim, patient))).To(Succeed())
		before := named(d.PodsOn(victim), patient)
		d.Inject(fault.StopService(victim.Instances(clusters.ContainerRuntime)...))

		Expect(d).To(MarkNotReady(victim).Within(d.Timing.RuntimeNotReady()))
		Expect(d.StaysTrue("it says so itself, and why", saysRuntimeIsDown(victim))).To(Succeed())
		Expect(d.Attempt("create another pod for it", CreatePod(patientPod(d, victim, late)))).To(BeAccepted())
		Expect(d.StaysTrueFor("that does not start", d.Timing.NodeNotReady().Lower, podIs(late, pending))).To(Succeed())
		Expect(d).To(KeepServing(probe.Workload).On(victim))

		d.Undo()
		Expect(d.BecomesTrue("it is called ready again", d.Timing.NodeReturn(), stillReady(victim))).To(Succeed())
		Expect(d.BecomesTrue("the pod that came meanwhile runs", d.Timing.Binding(), podIs(late, clusters.PodReady))).To(Succeed())
		Expect(d.Told("the one that it had is the same, and was not restarted", SamePods(before, former(before, d.PodsOn(victim))))).To(Succeed())
	})
})

// AWorkerIsReplaced is the experiment of NODE-01 to NODE-04; sabotage runs use it too.
func AWorkerIsReplaced(d *Drill) {
	GinkgoHelper()
	victim, other := workers(d)
	occupy(d, victim)
	before := d.PodsOn(other)
	d.Inject(fault.PowerOff(victim))

	Expect(d).To(MarkNotReady(victim).Within(d.Timing.NodeNotReady()))
	Expect(d.BecomesTrue("it is tainted as unreachable", d.Timing.Noticed(), isTainted(victim))).To(Succeed())
	Expect(d.BecomesTrue("none of its pods is called ready", d.Timing.Noticed(), noneReady(victim))).To(Succeed())
	isEmptied(d, victim)
	Expect(d.BecomesTrue("as many replicas as before run elsewhere", d.Timing.Binding(), allReady)).To(Succeed())
	Expect(d.StaysTrue("nobody replaces the bare pod, and its node would have to end it", All(bareIsDeleted, besideReplicas(bare)))).To(Succeed())
	for _, name := range shared {
		Expect(d).To(KeepServing(name))
	}
	Expect(d).To(KeepServing(probe.Workload).On(other))
	Expect(d.ReadyNodes()).To(Equal(len(Masters(d.Nodes)) + 1))

	d.Undo()
	Expect(d).To(Resume(probe.Workload).On(victim).Within(d.Timing.NodeReturn()))
	Expect(d.BecomesTrue("the bare pod is gone", d.Timing.NodeReturn(), besideReplicas())).To(Succeed())
	Expect(d.BecomesTrue("there are exactly as many pods as replicas", d.Timing.NodeReturn(), noPodTooMany)).To(Succeed())
	Expect(d.StaysTrue("the bare pod is gone for good", besideReplicas())).To(Succeed())
	Expect(d.Told("the other worker's pods are the same, and were not restarted", SamePods(before, former(before, d.PodsOn(other))))).To(Succeed())
	d.Drifted("a bare pod is not replaced, but since taint-based eviction it is deleted")
}

// ALoneReplicaIsMissed is the experiment of WORK-08; sabotage runs use it too.
func ALoneReplicaIsMissed(ctx context.Context, d *Drill) {
	GinkgoHelper()
	Expect(d.BecomesTrue("the web service has a pod on each of two workers", d.Timing.Binding(), webIsSpread)).To(Succeed())
	Expect(d.BecomesTrue("the deployment has one pod, which is ready", d.Timing.Binding(), All(ReplicasReady(1), ReplicasExist(1)))).To(Succeed())
	lone := podsOf(ctx, d)[0]
	victim, err := d.Node(lone.Spec.NodeName)
	Expect(err).NotTo(HaveOccurred())
	others := slices.DeleteFunc(Workers(d.Nodes), func(n *clusters.Node) bool { return n == victim })
	d.Inject(fault.PowerOff(victim))

	Expect(d).To(Pause(probe.Service).On(others...).InCluster(others...).Within(d.Timing.EndpointsGone()))
	Expect(d.LostInPart(probe.Service, others...)).To(Succeed())
	Expect(d).To(KeepServing(probe.Write))
	Expect(d.BecomesTrueAfterFault("the lone replica runs elsewhere", d.Timing.Replacement(), runsWithout(victim))).To(Succeed())
	evicted := markedForDeletion(ctx, d, lone).Sub(d.NotReadySince(victim))
	Expect(d.Took("counted from when its node was called not ready the lone replica was evicted", evicted, d.Timing.EvictionAfterMark())).To(Succeed())
}
