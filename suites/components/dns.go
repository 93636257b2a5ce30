package components

import (
	"context"
	"errors"
	"fmt"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

var _ = Describe("Without DNS", Topology("single-host-minimal"), Component(clusters.CoreDNS), Core, func() {
	const topology = "single-host-minimal"

	It("no name resolves, and addresses go on to work", Claims("DNS-02"), func(ctx SpecContext) {
		d := On(ctx, topology)
		d.Inject(fault.HoldDown(d.Placed(clusters.CoreDNS)...).Losing(clusters.CoreDNS))

		Expect(d).To(Lose(probe.Resolve).Within(d.Timing.Noticed()))
		for _, name := range []probe.Name{probe.Service, probe.Workload, probe.Write, probe.Schedule, probe.Reconcile} {
			Expect(d).To(KeepServing(name))
		}

		d.Undo()
		Expect(d).To(Resume(probe.Resolve).Within(d.Timing.CrashLoopReturn(d.Outage())))
	})

	It("nobody remembers a name, and while the API is down a DNS server that restarts knows none", Claims("DNS-04"), Component(clusters.APIServer), func(ctx SpecContext) {
		NobodyRemembersAName(On(ctx, topology))
	})
})

var _ = Describe("DNS on three hosts", Topology("three-host-stacked"), Component(clusters.CoreDNS), Core, func() {
	It("is lost with the first master until its pods are evicted", Claims("DNS-03"), func(ctx SpecContext) {
		d := On(ctx, "three-host-stacked")
		first := d.With(clusters.ControlPlane)[0]
		gatherDNS(ctx, d, first)
		others := d.Survivors(first.Host)
		d.Inject(fault.PowerOff(d.Host(first.Host)...).Losing(clusters.CoreDNS))

		Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(d.Timing.HostLoss()))
		Expect(d).To(VisiblyPause(probe.Resolve).InCluster(others...).Within(d.Timing.Replacement()))
		d.Drifted("both DNS servers are where there was one node when they were placed")
	})
})

var _ = Describe("DNS with a server on each of two hosts", Topology("dns-per-host"), Component(clusters.CoreDNS), Nightly, func() {
	const topology = "dns-per-host"

	It("survives the loss of one server, and of one host", Claims("DNS-01"), func(ctx SpecContext) {
		d := On(ctx, topology)
		d.Then(fault.HoldDown(d.Placed(clusters.CoreDNS)[0]))
		Expect(d).To(Pause(probe.Resolve).Within(d.Timing.Noticed()))
		d.Undo()
		d.AwaitHealed()

		lost := d.Placed(clusters.CoreDNS)[0].Node
		d.Then(fault.PowerOff(d.Host(lost.Host)...))
		Expect(d).To(Pause(probe.Resolve).InCluster(d.Survivors(lost.Host)...).Within(d.Timing.EndpointsGone()))
		d.Undo()
		Expect(d).To(Resume(probe.Workload).Within(d.Timing.NodeReturn()))
	})
})

// NobodyRemembersAName is the experiment of DNS-04; sabotage runs use it too.
func NobodyRemembersAName(d *Drill) {
	GinkgoHelper()
	servers := d.Placed(clusters.CoreDNS)
	d.Inject(fault.HoldDown(d.Instances(clusters.APIServer)...).Losing(clusters.APIServer))
	Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
	Expect(d).To(KeepServing(probe.Resolve))

	d.Then(fault.Kill(servers...).Losing(clusters.CoreDNS))
	Expect(d).To(Lose(probe.Resolve).Within(d.Timing.Noticed()))
	// Until it has been restarted, it answers nobody anyway.
	d.Hold(d.Timing.StaticPodRestart().Upper)

	d.Undo()
	Expect(d).To(Resume(probe.Resolve).Within(d.Timing.ControlPlaneReturn(d.Outage())))
}

// gatherDNS puts both DNS servers on a node, where kubeadm leaves them when the other nodes
// join later: they are placed once, and nobody moves them.
func gatherDNS(ctx context.Context, d *Drill, first *clusters.Node) {
	GinkgoHelper()
	d.Afterwards(cordon(false, d.Nodes...))
	others := slices.DeleteFunc(slices.Clone(d.Nodes), func(n *clusters.Node) bool { return n == first })
	Expect(d.Attempt("close the other nodes to pods", cordon(true, others...))).To(BeAccepted())
	Expect(d.Attempt("delete the DNS servers", deleteDNS)).To(BeAccepted())
	Expect(d.BecomesTrue("both DNS servers are on "+first.Name, d.Timing.Binding(), func(ctx context.Context, c kubernetes.Interface) error {
		pods, err := c.CoreV1().Pods("kube-system").List(ctx, dnsPods)
		if err != nil {
			return err
		}
		ready := 0
		for _, p := range pods.Items {
			if p.Spec.NodeName == first.Name && p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
				ready++
			}
		}
		if ready != 2 || len(pods.Items) != 2 {
			return fmt.Errorf("%d of %d run there", ready, len(pods.Items))
		}
		return nil
	})).To(Succeed())
	Expect(d.Attempt("open the other nodes", cordon(false, others...))).To(BeAccepted())
	Eventually(func() int { return len(d.Placed(clusters.CoreDNS).On(first.Name)) }).WithContext(ctx).Should(Equal(2))
}

// dnsPods selects the DNS servers.
var dnsPods = metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"}

func deleteDNS(ctx context.Context, c kubernetes.Interface) error {
	return c.CoreV1().Pods("kube-system").DeleteCollection(ctx, metav1.DeleteOptions{}, dnsPods)
}

// cordon closes nodes to new pods, or opens them.
func cordon(closed bool, nodes ...*clusters.Node) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		var errs []error
		for _, n := range nodes {
			patch := fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, closed)
			_, err := c.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{})
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
}
