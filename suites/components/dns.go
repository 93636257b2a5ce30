package components

import (
	"context"
	"errors"
	"fmt"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
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
	It("is lost with the first master, where both servers are gathered, until they are evicted, and not where they are spread", Claims("DNS-03"), func(ctx SpecContext) {
		d := On(ctx, "three-host-stacked")
		first := d.With(clusters.ControlPlane)[0]
		others := d.Survivors(first.Host)
		d.Afterwards(cordon(false, d.Nodes...))

		By("losing the first master when both servers are on it, as kubeadm leaves them when the other nodes join later")
		placeDNS(ctx, d, first)
		d.Then(fault.PowerOff(d.Host(first.Host)...).Losing(clusters.CoreDNS))
		Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(d.Timing.HostLoss()))
		Expect(d).To(VisiblyPause(probe.Resolve).InCluster(others...).Within(d.Timing.Replacement()))
		d.Undo()
		Expect(d.BecomesTrue("every node is called ready again", d.Timing.NodeReturn(), AllNodesReady)).To(Succeed())
		d.AwaitHealed()

		By("losing it when one of them is on another host")
		placeDNS(ctx, d, first, others[0])
		d.Then(fault.PowerOff(d.Host(first.Host)...))
		Expect(d).To(Pause(probe.Resolve).InCluster(others...).Within(d.Timing.EndpointsGone()))
		Expect(d.LostInPart(probe.Resolve, others...)).To(Succeed())
		d.Drifted("both DNS servers stay where there was one node when they were placed, which was arranged here; spread over two hosts they survive the same loss")
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
	// The fault has landed when the processes of before were gone.
	for _, s := range servers {
		Expect(d.BecomesTrue("the kubelet has restarted "+s.String()+", which has run for long enough to answer", d.Timing.DNSStart(), runsFor(d.Timing.DNSStart().Upper, s))).To(Succeed())
	}

	d.Undo()
	Expect(d).To(Resume(probe.Resolve).Within(d.Timing.ControlPlaneReturn(d.Outage())))
}

// dnsServers is how many kubeadm asks for.
const dnsServers = 2

// placeDNS puts the DNS servers on nodes, as many on each: they are placed once, while the other
// nodes are closed, and nobody moves them.
func placeDNS(ctx context.Context, d *Drill, nodes ...*clusters.Node) {
	GinkgoHelper()
	others := slices.DeleteFunc(slices.Clone(d.Nodes), func(n *clusters.Node) bool { return slices.Contains(nodes, n) })
	Expect(d.Attempt("close the other nodes to pods", cordon(true, others...))).To(BeAccepted())
	Expect(d.Attempt("delete the DNS servers", deleteDNS)).To(BeAccepted())
	where := "the two DNS servers are on " + nodes[0].Name
	for _, n := range nodes[1:] {
		where += " and " + n.Name
	}
	Expect(d.BecomesTrue(where, d.Timing.Binding(), dnsOn(nodes))).To(Succeed())
	Expect(d.Attempt("open the other nodes", cordon(false, others...))).To(BeAccepted())
	// Until the nodes' proxies know them, too.
	Expect(d.StaysTrue(where, dnsOn(nodes))).To(Succeed())
	Eventually(func() int {
		placed := 0
		for _, n := range nodes {
			placed += len(d.Placed(clusters.CoreDNS).On(n.Name))
		}
		return placed
	}).WithContext(ctx).WithTimeout(d.Timing.Binding().Upper).Should(Equal(dnsServers))
}

// dnsOn fails unless as many of the DNS servers are ready on each of the nodes, and none elsewhere.
// Where those that are about to go have kept both on one of two, it deletes one: they repel each
// other.
func dnsOn(nodes []*clusters.Node) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, dnsPods)
		if err != nil {
			return err
		}
		ready := map[string][]string{}
		for _, p := range list.Items {
			if p.DeletionTimestamp == nil && clusters.PodReady(&p) {
				ready[p.Spec.NodeName] = append(ready[p.Spec.NodeName], p.Name)
			}
		}
		for _, n := range nodes {
			switch have := ready[n.Name]; {
			case len(have) > dnsServers/len(nodes):
				return errors.Join(fmt.Errorf("%v are all on %s", have, n.Name), c.CoreV1().Pods(metav1.NamespaceSystem).Delete(ctx, have[0], metav1.DeleteOptions{}))
			case len(have) < dnsServers/len(nodes):
				return fmt.Errorf("on %s %v are ready", n.Name, have)
			}
		}
		return Unless(len(list.Items) == dnsServers, fmt.Errorf("there are %d pods", len(list.Items)))
	}
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
