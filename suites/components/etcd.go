package components

import (
	"context"
	"errors"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	"faultline/reports/record"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

var _ = Describe("etcd on three hosts", Topology("three-host-stacked"), Component(clusters.Etcd), Core, func() {
	const topology = "three-host-stacked"

	// The first, because it needs a store that has been quiet for a minute.
	It("serves cached reads for a window of time without a majority, longer beside dead members than beside the survivor, and plain reads not at all", Claims("ETCD-03", "ETCD-04", "ETCD-05"), func(ctx SpecContext) {
		d := On(ctx, topology)
		d.AwaitQuietStore(d.Timing.WatchErrorMemory())
		dead := d.EtcdMembers().Majority()
		survivor := d.EtcdMembers().Except(dead...)[0].Node
		d.Inject(fault.HoldDown(dead...).Losing(clusters.Etcd))

		Expect(d).To(Lose(probe.ConsistentRead).Within(d.Timing.Noticed()))
		Expect(d).To(KeepServing(probe.CachedRead).On(survivor).For(d.Timing.StaleReads().Lower))
		Expect(d).To(Lose(probe.CachedRead).On(survivor).As(record.NotReady, record.EtcdError, record.TimedOut).Within(d.Timing.StaleReads()))
		// Only a member that is alive says that it has no leader. To one that is dead the API server
		// connects again and again, until its kubelet ends it.
		for _, m := range dead {
			Expect(d).To(KeepServing(probe.CachedRead).On(m.Node).For(d.SinceFault()))
		}

		d.Undo()
		Expect(d).To(Resume(probe.ConsistentRead).Within(d.Timing.ControlPlaneReturn(d.Outage())))
		Expect(d).To(Resume(probe.CachedRead).On(survivor).Within(d.Timing.ControlPlaneReturn(d.Outage())))
		d.Drifted("cached reads last as long as the watch cache keeps trying, 30 s from the first error of a minute, and longer beside a member that is dead; a plain read needs the majority")
	})

	It("refuses writes without a majority while workloads run on", Claims("ETCD-02"), func(ctx SpecContext) {
		RefuseWritesWithoutAMajority(On(ctx, topology))
	})

	It("takes the API server beside a lost member with it, and in time the leases of its master, the whole node and who is led to it", Claims("ETCD-10"), func(ctx SpecContext) {
		d := On(ctx, topology)
		// Whether it leads etcd does not matter: the others elect within seconds.
		lost := d.EtcdMembers().On(d.Leader(clusters.Scheduler).Node.Name)[0]
		leading := d.LeadingOn(lost.Node)
		LoseTheAPIServerBeside(d, lost, fault.Stop(lost))
		for _, component := range leading {
			Expect(d).To(HandOver(component).Within(clusters.Bounds{Lower: d.Timing.LeaseTakeover().Lower, Upper: d.Timing.HandOverAfterRemoval().Upper}))
		}
		RegainTheAPIServerBeside(d, lost)
		d.Drifted("an API server talks to the member beside it only, and a master's kubelet to the API server beside it; " +
			"connections that the load balancer had made to it stay with it until its liveness probe ends it, those of workers' kubelets as well")
	})

	It("absorbs the loss of its leader", Claims("ETCD-09"), func(ctx SpecContext) {
		d := On(ctx, topology)
		leader := d.Leader(clusters.Etcd)
		d.Inject(fault.Kill(leader))

		Expect(d).To(Pause(probe.Write).Within(d.Timing.EtcdElection()))
		Expect(d).To(ElectEtcdLeader().Within(d.Timing.EtcdElection()))
		Expect(d).To(KeepServing(probe.Workload))
	})
})

var _ = Describe("etcd on a single host", Topology("single-host-minimal"), Component(clusters.Etcd), Core, func() {
	It("that is all dead leaves cached reads until the kubelet ends the API server, and workloads alone, then and afterwards", Claims("ETCD-04", "ETCD-07", "ETCD-08"), func(ctx SpecContext) {
		d := On(ctx, "single-host-minimal")
		before, server := d.ApplicationPods(), d.Instances(clusters.APIServer)[0]
		exits := d.WatchExits(server)
		d.Inject(fault.HoldDown(d.EtcdMembers()...).Losing(clusters.Etcd))

		Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
		Expect(d).To(Lose(probe.ConsistentRead).Within(d.Timing.Noticed()))
		Expect(d).To(KeepServing(probe.CachedRead).For(d.Timing.Liveness().Lower))
		Expect(d).To(Lose(probe.CachedRead).As(record.Refused, record.TimedOut, record.NotReady).Within(d.Timing.Liveness()))
		served := d.LastServed(probe.CachedRead)
		Expect(d).To(SeeTheEndOf(server, exits).Within(d.Timing.Liveness()))
		ended := d.Ended(server, exits, 0)
		Expect(d.Took("the last cached read is followed by the end of the API server, which the kubelet lets finish", ended-served, d.Timing.Termination())).To(Succeed())
		Expect(d.BecomesTrue("the kubelet restarts it", d.Timing.StaticPodRestart(), runsFor(0, server))).To(Succeed())
		again := d.WatchExits(server)
		Expect(d.Took("it ends again, as there is no etcd", d.Ended(server, again, d.Timing.EndsAgain().Upper)-ended, d.Timing.EndsAgain())).To(Succeed())
		Expect(d.StaysTrue("the kubelet waits before it restarts it once more", isGone(server))).To(Succeed())
		for _, name := range []probe.Name{probe.Workload, probe.Service, probe.Resolve} {
			Expect(d).To(KeepServing(name))
		}

		d.Undo()
		Expect(d).To(Resume(probe.Write).Within(d.Timing.ControlPlaneReturn(d.Outage())))
		Expect(d).To(Resume(probe.Schedule).Within(d.Timing.ControlPlaneReturn(d.Outage())))
		Expect(d).To(Resume(probe.Reconcile).Within(d.Timing.ControlPlaneReturn(d.Outage())))
		Expect(d.StaysTrueFor("the API calls the node ready", d.Timing.NodeNotReady().Upper, AllNodesReady)).To(Succeed())
		Expect(d.Told("the pods of applications are the same, and were not restarted", SamePods(before, d.ApplicationPods()))).To(Succeed())
		d.Drifted("without any member the watch cache serves on, longer than with a minority left, until the liveness probe, which asks etcd, ends the API server")
	})
})

var _ = Describe("etcd without space on a single host", Topology("single-host-minimal"), Component(clusters.Etcd), Core, func() {
	It("can be read and not written, so that leaders give up and nodes go stale unnoticed", Claims("ETCD-24"), func(ctx SpecContext) {
		d := On(ctx, "single-host-minimal")
		leaders := clusters.Instances{d.Leader(clusters.Scheduler), d.Leader(clusters.ControllerManager)}
		exits := d.WatchExits(leaders...)
		d.Inject(fault.RaiseNoSpace(d.EtcdMembers()[0]).Losing(clusters.Etcd))

		Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
		for _, name := range []probe.Name{probe.Ready, probe.ConsistentRead, probe.CachedRead, probe.Workload, probe.Service} {
			Expect(d).To(KeepServing(name))
		}
		for _, i := range leaders {
			Expect(d).To(GiveUp(i, exits).Within(d.Timing.LeaderGivesUp()))
		}
		Expect(d.StaysTrueFor("its node does not renew its lease, and is called ready, because nobody could write otherwise",
			d.Timing.NodeNotReady().Upper, All(AllNodesReady, NoHeartbeats()))).To(Succeed())

		d.Undo()
		Expect(d).To(Resume(probe.Write).Within(d.Timing.QuorumReturn()))
		Expect(d).To(Resume(probe.Schedule).Within(d.Timing.ControlPlaneReturn(d.Outage())))
		Expect(d).To(Resume(probe.Reconcile).Within(d.Timing.ControlPlaneReturn(d.Outage())))
	})
})

var _ = Describe("etcd on hosts of its own", Topology("external-etcd"), Component(clusters.Etcd), Nightly, func() {
	It("loses a member and no API server, and a master takes no member with it", Claims("ETCD-23"), func(ctx SpecContext) {
		d := On(ctx, "external-etcd")
		lost := d.EtcdMembers().Except(d.Leader(clusters.Etcd))[0]
		servers := processesOf(ctx, d.Instances(clusters.APIServer))
		d.Then(fault.PowerOff(lost.Node))
		Expect(d).To(Pause(probe.Ready).Within(d.Timing.EtcdElection()))
		Expect(d).To(Pause(probe.Write).Within(d.Timing.EtcdElection()))
		Expect(d).To(KeepServing(probe.CachedRead))
		d.Hold(d.Timing.LongerThanLiveness())
		unreplaced(d, servers)
		d.Undo()
		d.AwaitHealed()

		master, members, term := d.With(clusters.ControlPlane)[0], processesOf(ctx, d.EtcdMembers()), d.EtcdTerm()
		d.Then(fault.PowerOff(master))
		Expect(d).To(KeepServing(probe.CachedRead).On(d.With(clusters.ControlPlane)[1:]...))
		Expect(d).To(Pause(probe.Write).Within(d.Timing.HostLoss()))
		for _, m := range d.EtcdMembers() {
			Expect(d.Health(m, "readyz")).To(Equal(200), m.String())
		}
		unreplaced(d, members)
		Expect(d.Told("etcd elects nobody", Unless(d.EtcdTerm() == term, nil))).To(Succeed())
	})
})

// processesOf are the processes that instances have.
func processesOf(ctx context.Context, instances clusters.Instances) map[clusters.Instance]clusters.Process {
	GinkgoHelper()
	all := map[clusters.Instance]clusters.Process{}
	for _, i := range instances {
		process, err := i.Process(ctx)
		Expect(err).NotTo(HaveOccurred())
		all[i] = process
	}
	return all
}

// unreplaced expects instances to have the processes that they had.
func unreplaced(d *Drill, before map[clusters.Instance]clusters.Process) {
	GinkgoHelper()
	for i, process := range before {
		Expect(d.Unreplaced(i.String()+" has the process that it had", i, process)).To(Succeed())
	}
}

// runsFor fails unless an instance has a process that has run for a time.
func runsFor(age time.Duration, i clusters.Instance) Request {
	return func(ctx context.Context, _ kubernetes.Interface) error {
		p, err := i.Process(ctx)
		if err != nil {
			return err
		}
		return Unless(p.Age >= age, fmt.Errorf("it has run for %s", p.Age))
	}
}

// isGone fails unless an instance has no process.
func isGone(i clusters.Instance) Request {
	return func(ctx context.Context, _ kubernetes.Interface) error {
		p, err := i.Process(ctx)
		if err == nil {
			err = fmt.Errorf("PID %d runs", p.PID)
		}
		return Unless(errors.Is(err, clusters.ErrNoProcess), err)
	}
}

var _ = Describe("An etcd for Events alone", Topology("events-etcd"), Component(clusters.Etcd), Nightly, func() {
	It("takes the whole API with it in time", Claims("ETCD-21"), func(ctx SpecContext) {
		d := On(ctx, "events-etcd")
		d.Inject(fault.StopService(d.EventsMembers()...).Losing(clusters.Etcd))

		Expect(d).To(Lose(probe.Ready).Within(d.Timing.Noticed()))
		Expect(d.Attempt("write an event", writeEvent)).To(BeRefused())
		Expect(d).To(KeepServing(probe.Write).For(d.Timing.Liveness().Lower))
		Expect(d).To(Lose(probe.Write).As(record.Refused, record.TimedOut, record.NotReady).Within(d.Timing.Liveness()))

		d.Undo()
		Expect(d).To(Resume(probe.Write).Within(d.Timing.ControlPlaneReturn(d.Outage())))
		d.Drifted("liveness includes the health of every store, so that the kubelet ends API servers whose etcd for Events is gone")
	})
})

func writeEvent(ctx context.Context, c kubernetes.Interface) error {
	event := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{GenerateName: "attempt-"},
		InvolvedObject: corev1.ObjectReference{Kind: "Deployment", Namespace: Namespace, Name: Deployment},
	}
	_, err := c.CoreV1().Events(Namespace).Create(ctx, event, metav1.CreateOptions{})
	return err
}

// RefuseWritesWithoutAMajority is the experiment of ETCD-02; sabotage runs use it too.
func RefuseWritesWithoutAMajority(d *Drill) {
	GinkgoHelper()
	d.Inject(fault.Pause(d.EtcdMembers().Majority()...).Losing(clusters.Etcd))

	Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
	Expect(d).To(Lose(probe.Ready).Within(d.Timing.Noticed()))
	Expect(d).To(Lose(probe.Schedule).Within(d.Timing.Noticed()))
	Expect(d).To(Lose(probe.Reconcile).Within(d.Timing.Noticed()))
	Expect(d).To(KeepServing(probe.Workload))
	Expect(d).To(KeepServing(probe.Service))

	d.Undo()
	Expect(d).To(Resume(probe.Write).Within(d.Timing.QuorumReturn()))
}

// LoseTheAPIServerBeside is what it costs that a member of etcd has no part in its cluster any
// more: the API server beside it, and every node whose kubelet is led to that one.
func LoseTheAPIServerBeside(d *Drill, lost clusters.Instance, f fault.Fault) {
	GinkgoHelper()
	talking := d.LedTo(lost.Node)
	d.Inject(f)

	Expect(d).To(Lose(probe.Ready).On(lost.Node).Within(d.Timing.Noticed()))
	Expect(d).To(MarkNotReady(append(talking, lost.Node)...).Within(d.Timing.NodeNotReady()))
	Expect(d).To(KeepServing(probe.Workload))
	for _, name := range []probe.Name{probe.Write, probe.ConsistentRead} {
		Expect(d).To(Pause(name).Through(d.Front()).Within(d.Timing.KeptConnection()))
	}
}

// RegainTheAPIServerBeside lets the member take part again.
func RegainTheAPIServerBeside(d *Drill, lost clusters.Instance) {
	GinkgoHelper()
	d.Undo()
	Expect(d).To(Resume(probe.Ready).On(lost.Node).Within(d.Timing.ControlPlaneReturn(d.Outage())))
	Expect(d.BecomesTrue("all nodes are called ready again", d.Timing.NodeReturn(), AllNodesReady)).To(Succeed())
}
