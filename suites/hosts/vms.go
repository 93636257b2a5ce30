package hosts

import (
	"context"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: with a hypervisor on each of three hosts, workloads have virtual machines of their
// own beside those of the masters (A:L69).
var _ = Describe("One of three hosts with a virtual machine for a master and one for workloads", Topology("three-host-vms"), Nightly, WholeHost, func() {
	It("loses either of them alone, and both with itself", Claims("TOPO-21"), func(ctx SpecContext) {
		d := On(ctx, "three-host-vms")
		worker, pods := webServer(ctx, d)
		master := Masters(d.Host(worker.Host))[0]
		leadElsewhere(d, master.Instances(clusters.APIServer)[0])

		By("losing the virtual machine of its master")
		d.Then(fault.PowerOff(master))
		Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(d.Timing.HostLoss()))
		Expect(d).To(MarkNotReady(master).Within(d.Timing.NodeNotReady()))
		Expect(d.StaysTrueFor("the web servers in the other one are the same, never restarted, and among the endpoints of their service",
			d.Timing.LongerThanEviction(), serveOn(pods))).To(Succeed())
		Expect(d).To(KeepServing(probe.Workload))
		Expect(d).To(KeepServing(probe.Service))
		d.Undo()
		Expect(d).To(Resume(probe.CachedRead).On(master).Within(d.Timing.NodeReturn()))
		isWhole(d)

		By("losing the virtual machine of its worker")
		d.Then(fault.PowerOff(worker))
		Expect(d).To(MarkNotReady(worker).Within(d.Timing.NodeNotReady()))
		Expect(d.BecomesTrue("all members of etcd answer, with the same data", d.Timing.Noticed(), sameData(d))).To(Succeed())
		for _, name := range []probe.Name{probe.Write, probe.ConsistentRead, probe.CachedRead, probe.Schedule, probe.Reconcile} {
			Expect(d).To(KeepServing(name))
		}
		Expect(d).To(KeepServing(probe.Workload).On(d.Survivors(worker.Host)...))
		d.Undo()
		Expect(d).To(Resume(probe.Workload).On(worker).Within(d.Timing.NodeReturn()))
		isWhole(d)

		By("losing the host")
		SurviveTheLossOf(d, worker.Host)
	})
})

// webServer is a worker that has pods of the web service, and those pods.
func webServer(ctx context.Context, d *Drill) (*clusters.Node, []corev1.Pod) {
	GinkgoHelper()
	client, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	pods, selected := probe.WebPods(client)
	list, err := pods.List(ctx, selected)
	Expect(err).NotTo(HaveOccurred())
	Expect(list.Items).NotTo(BeEmpty())
	name := list.Items[0].Spec.NodeName
	worker, err := d.Node(name)
	Expect(err).NotTo(HaveOccurred())
	return worker, slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.Spec.NodeName != name })
}

// leadElsewhere ends all connections to an API server, so that clients make new ones to others.
// A kubelet whose connection the load balancer has led to a machine that falls silent misses
// heartbeats until it gives the connection up, wherever it runs: that is the load balancer's
// doing, and not what is asked here.
func leadElsewhere(d *Drill, server clusters.Instance) {
	GinkgoHelper()
	d.AskThrough(d.Instances(clusters.APIServer).Except(server)[0].Node.APIServer())
	began := time.Now()
	d.Then(fault.Kill(server))
	Expect(d).To(Pause(probe.CachedRead).On(server.Node).Within(d.Timing.CrashLoopReturn(d.Outage())))
	Expect(d.BecomesTrue("every node has connected again", d.Timing.NodeReturn(), AllNodesConnected(began))).To(Succeed())
}

// isWhole expects that what was lost is back and known to be.
func isWhole(d *Drill) {
	GinkgoHelper()
	Expect(d.BecomesTrue("every node is called ready", d.Timing.NodeReturn(), AllNodesReady)).To(Succeed())
	d.AwaitHealed()
}

// sameData fails also while one member has compacted its history and another has not yet.
func sameData(d *Drill) Request {
	return func(ctx context.Context, _ kubernetes.Interface) error { return d.SameData(ctx, d.EtcdMembers()) }
}

// serveOn fails unless the pods are those of before, never restarted since, and ready endpoints
// of a service.
func serveOn(before []corev1.Pod) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		for _, was := range before {
			is, err := c.CoreV1().Pods(was.Namespace).Get(ctx, was.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if is.UID != was.UID || is.DeletionTimestamp != nil || restarts(is) != restarts(&was) {
				return fmt.Errorf("pod %s was restarted or is another", was.Name)
			}
			if err := isEndpoint(ctx, c, is); err != nil {
				return err
			}
		}
		return nil
	}
}

func restarts(p *corev1.Pod) (n int32) {
	for _, c := range p.Status.ContainerStatuses {
		n += c.RestartCount
	}
	return n
}

// isEndpoint fails unless a service leads to the pod.
func isEndpoint(ctx context.Context, c kubernetes.Interface, p *corev1.Pod) error {
	list, err := c.DiscoveryV1().EndpointSlices(p.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	leads := slices.ContainsFunc(list.Items, func(s discoveryv1.EndpointSlice) bool {
		return slices.ContainsFunc(s.Endpoints, func(e discoveryv1.Endpoint) bool {
			return e.TargetRef != nil && e.TargetRef.UID == p.UID && e.Conditions.Ready != nil && *e.Conditions.Ready
		})
	})
	return Unless(leads, fmt.Errorf("no service leads to pod %s", p.Name))
}
