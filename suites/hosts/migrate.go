package hosts

import (
	"context"
	"errors"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/overload"
	"faultline/suites/probe"
)

// Document A: where a hypervisor can migrate its virtual machines, hardware and firmware of a
// host can be maintained without disruption (A:L56, A:L62). Of a migration it is the blackout
// that anybody can notice; memory is copied before.
var _ = Describe("Virtual machines of one of two hosts", Topology("two-host-vms"), Nightly, WholeHost, func() {
	const topology = "two-host-vms"

	It("are moved to the other host and back, and nobody notices", Claims("TOPO-16"), func(ctx SpecContext) {
		evacuateAndReturn(ctx, On(ctx, topology))
	})

	// The control experiment: what makes a short blackout harmless are the times for which the
	// cluster waits.
	It("are missed when they are frozen for longer than the cluster waits for them", Claims("TOPO-16"), func(ctx SpecContext) {
		d := On(ctx, topology)
		worker := Workers(d.Host("h1"))[0]

		By("freezing the leading scheduler for longer than it may take to renew, and shorter than its lease")
		leader := d.Leader(clusters.Scheduler).Node
		d.Then(fault.Blackout(d.Timing.DisputedBlackout(), leader))
		pauses(d, leader, d.Timing.Blackout(d.Timing.DisputedBlackout()), d.Timing.HostLossFailover())
		d.Undo() // it has ended by itself; this closes it
		isWhole(d)

		By("freezing it for longer than its lease")
		leader = d.Leader(clusters.Scheduler).Node
		d.Then(fault.Freeze(leader))
		Expect(d).To(HandOver(clusters.Scheduler).Within(d.Timing.LeaseTakeover()))
		d.Undo()
		isWhole(d)

		By("freezing a worker for longer than nodes may be silent")
		d.Then(fault.Freeze(worker))
		Expect(d).To(MarkNotReady(worker).Within(d.Timing.NodeNotReady()))
		d.Undo()
		Expect(d).To(Resume(probe.Workload).On(worker).Within(d.Timing.NodeReturn()))
		isWhole(d)
	})
})

// evacuateAndReturn is the experiment of TOPO-16: every virtual machine of a host moves away, one
// after the other, and when the host has been serviced they move back.
func evacuateAndReturn(ctx context.Context, d *Drill) {
	GinkgoHelper()
	const from, to = "h1", "h2"
	moved := d.Host(from)
	returnAfterwards(d, from, moved)
	plane, before := overload.ControlPlane(ctx, d), calmOf(ctx, d)

	By("evacuating the host")
	for _, vm := range moved {
		migrate(ctx, d, vm, to)
	}
	Expect(d.Told("for Kubernetes nothing is on the host any more", onHost(ctx, d, from, 0))).To(Succeed())
	Expect(d.StaysTrueFor("while it is serviced no node is called not ready and no pod is restarted", clusters.LeaseDuration, before.lasts)).To(Succeed())

	By("returning to it")
	for _, vm := range moved {
		migrate(ctx, d, vm, from)
	}
	Expect(d.Told("as many nodes as before are on the host", onHost(ctx, d, from, len(Masters(moved))+len(Workers(moved))))).To(Succeed())
	Expect(d.StaysTrueFor("no node was ever called not ready and no pod restarted", clusters.LeaseDuration, before.lasts)).To(Succeed())
	Expect(d.Told("no component was replaced, and no lease lost", errors.Join(plane.Replaced(ctx), plane.Deposed(d)))).To(Succeed())
}

// migrate moves a virtual machine to a host with a blackout that nobody is to notice.
func migrate(ctx context.Context, d *Drill, vm *clusters.Node, to string) {
	GinkgoHelper()
	length := d.Timing.UnnoticedBlackout()
	missed := d.Timing.Blackout(length)
	if len(vm.Instances(clusters.Etcd)) > 0 {
		length = d.Timing.UnnoticedEtcdBlackout()
		missed = d.Timing.Blackout(length)
		missed.Upper += d.Timing.EtcdElection().Upper // a busy machine may be late to end it
	}
	d.Then(fault.Blackout(length, vm))
	pauses(d, vm, missed, missed)
	Expect(rehome(ctx, d, to, vm)).To(Succeed())
	d.Undo() // it has ended by itself; this closes it
	d.AwaitHealed()
}

// pauses expects that what a frozen machine does is missed no longer than that, and nothing else.
func pauses(d *Drill, vm *clusters.Node, served, led clusters.Bounds) {
	GinkgoHelper()
	Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(served))
	Expect(d).To(Pause(probe.ConsistentRead).Through(d.Front()).Within(served))
	Expect(d).To(Pause(probe.Schedule).Within(led))
	Expect(d).To(Pause(probe.Reconcile).Within(led))
	Expect(d).To(KeepServing(probe.Workload).On(without(d.WorkloadNodes(), []*clusters.Node{vm})...))
}

// returnAfterwards moves what is still away back when a spec has failed on the way.
func returnAfterwards(d *Drill, host string, nodes []*clusters.Node) {
	DeferCleanup(func(ctx SpecContext) {
		for _, n := range nodes {
			if n.Host != host {
				Expect(rehome(ctx, d, host, n)).To(Succeed())
			}
		}
	})
}

// rehome gives a virtual machine its new host, which takes the API.
func rehome(ctx context.Context, d *Drill, to string, vm *clusters.Node) error {
	ctx, cancel := context.WithTimeout(ctx, d.Timing.ControlPlaneReturn(d.Outage()).Upper)
	defer cancel()
	return d.Rehome(ctx, to, vm)
}

// onHost fails unless the API has so many nodes on a host.
func onHost(ctx context.Context, d *Drill, host string, want int) error {
	client, err := d.Client(d.Front())
	if err != nil {
		return err
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: d.HostLabel + "=" + host})
	if err != nil {
		return err
	}
	return Unless(len(nodes.Items) == want, fmt.Errorf("%d nodes are on %s", len(nodes.Items), host))
}

// calm is a cluster in which nothing happens: since when each node has been ready, and how often
// each lasting pod was restarted.
type calm struct {
	ready    map[string]time.Time
	restarts map[types.UID]int32
}

func calmOf(ctx context.Context, d *Drill) calm {
	GinkgoHelper()
	client, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	now, err := lookForCalm(ctx, client)
	Expect(err).NotTo(HaveOccurred())
	Expect(now.restarts).NotTo(BeEmpty())
	return now
}

// lookForCalm leaves out the pods of probes that come and go.
func lookForCalm(ctx context.Context, c kubernetes.Interface) (calm, error) {
	now := calm{map[string]time.Time{}, map[types.UID]int32{}}
	nodes, err := c.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return now, err
	}
	for _, n := range nodes.Items {
		for _, condition := range n.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
				now.ready[n.Name] = condition.LastTransitionTime.Time
			}
		}
	}
	system, err := c.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{})
	if err != nil {
		return now, err
	}
	web, selected := probe.WebPods(c)
	servers, err := web.List(ctx, selected)
	if err != nil {
		return now, err
	}
	for _, p := range append(system.Items, servers.Items...) {
		now.restarts[p.UID] = restarts(&p)
	}
	return now, nil
}

// lasts fails once a node has not been ready, if only for a moment, or a pod was restarted or
// replaced.
func (before calm) lasts(ctx context.Context, c kubernetes.Interface) error {
	now, err := lookForCalm(ctx, c)
	if err != nil {
		return err
	}
	for node, since := range before.ready {
		if is, ready := now.ready[node]; !ready || !is.Equal(since) {
			return fmt.Errorf("node %s has not been ready all the time", node)
		}
	}
	for pod, count := range before.restarts {
		if is, there := now.restarts[pod]; !there || is != count {
			return fmt.Errorf("the pod with the UID %s was restarted or replaced", pod)
		}
	}
	return nil
}
