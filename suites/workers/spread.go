package workers

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

const (
	// spread is the layout with replicas that repel each other, two nodes on some hosts.
	spread = "anti-affinity"
	// preferred is a deployment whose replicas would rather be on different hosts.
	preferred = "attempt-preferred"
)

// Document A: anti-affinity spreads a service over hosts when its pods are placed, and
// nobody moves them later (A:L110).
var _ = Describe("Replicas that repel each other", Topology(spread), Nightly, WholeHost, func() {
	It("by host lose one to a lost host, and those that do so by node may lose two", Claims("WORK-01"), func(ctx SpecContext) {
		d := On(ctx, spread)
		crowded := crowdedHost(ctx, d)
		lost := d.Host(crowded)
		d.Inject(fault.PowerOff(lost...).Losing(clusters.CoreDNS))

		Expect(d).To(MarkNotReady(lost...).Within(d.Timing.NodeNotReady()))
		Expect(d.BecomesTrue("two of three are left that repel each other by host", d.Timing.Noticed(), readyOf(clusters.ByHost, 2))).To(Succeed())
		Expect(d.BecomesTrue("one of three is left of those that do so by node", d.Timing.Noticed(), readyOf(clusters.ByNode, 1))).To(Succeed())
		Expect(d.BecomesTrueAfterFault("the displaced one waits, because no host is free", d.Timing.Replacement(), waits(clusters.ByHost))).To(Succeed())
		Expect(d).To(KeepServing(probe.Write))

		d.Undo()
		Expect(d.BecomesTrue("all three run again", d.Timing.NodeReturn(), readyOf(clusters.ByHost, 3))).To(Succeed())
	})

	It("as long as that is possible stay together when their host is back", Claims("WORK-02"), func(ctx SpecContext) {
		d := On(ctx, spread)
		d.Afterwards(deletePreferred)
		Expect(d.Attempt("create replicas that would rather be apart", createPreferred)).To(BeAccepted())
		Expect(d.BecomesTrue("each is on a host of its own", d.Timing.Binding(), onHosts(d, 3))).To(Succeed())
		d.Inject(fault.PowerOff(d.Host("h3")...).Losing(clusters.CoreDNS))
		Expect(d.BecomesTrueAfterFault("all three are on two hosts", d.Timing.Replacement(), onHosts(d, 2))).To(Succeed())

		d.Undo()
		Expect(d.BecomesTrue("the host is back", d.Timing.NodeReturn(), AllNodesReady)).To(Succeed())
		Expect(d.StaysTrueFor("nobody moves a replica back", d.Timing.Eviction().Upper, onHosts(d, 2))).To(Succeed())
		// Those that are about to go repel others, too.
		Expect(d.Attempt("take the replicas away", scalePreferred(0))).To(BeAccepted())
		Expect(d.BecomesTrue("they are gone", d.Timing.Termination(), preferredGone)).To(Succeed())
		Expect(d.Attempt("place as many anew", scalePreferred(3))).To(BeAccepted())
		Expect(d.BecomesTrue("each is on a host of its own again", d.Timing.Binding(), onHosts(d, 3))).To(Succeed())
	})
})

// crowdedHost is one that has two of the replicas that repel each other by node.
func crowdedHost(ctx context.Context, d *Drill) string {
	GinkgoHelper()
	client, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	list, err := client.CoreV1().Pods(clusters.SpreadReplicas.Namespace()).List(ctx, clusters.OfApp(clusters.ByNode))
	Expect(err).NotTo(HaveOccurred())
	seen := map[string]bool{}
	for _, p := range list.Items {
		host := hostOf(d, p.Spec.NodeName)
		if seen[host] {
			return host
		}
		seen[host] = true
	}
	Fail(fmt.Sprintf("no host has two of %d replicas", len(list.Items)))
	return ""
}

func hostOf(d *Drill, node string) string {
	n, err := d.Node(node)
	if err != nil {
		return ""
	}
	return n.Host
}

// readyOf fails unless so many replicas of one kind are ready.
func readyOf(app string, want int) Request {
	return PodsReady(clusters.SpreadReplicas.Namespace(), clusters.OfApp(app), want)
}

// waits fails unless a replica of a kind has no node.
func waits(app string) Request {
	return SomePodWaits(clusters.SpreadReplicas.Namespace(), clusters.OfApp(app))
}

// createPreferred makes three replicas, with the drills' container.
func createPreferred(ctx context.Context, c kubernetes.Interface) error {
	three := int32(3)
	labels := clusters.AppLabels(preferred)
	template, err := c.AppsV1().Deployments(Namespace).Get(ctx, Deployment, metav1.GetOptions{})
	if err != nil {
		return err
	}
	pod := template.Spec.Template.DeepCopy()
	pod.Labels = labels
	pod.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{
			Weight:          100,
			PodAffinityTerm: corev1.PodAffinityTerm{TopologyKey: clusters.HostLabel, LabelSelector: &metav1.LabelSelector{MatchLabels: labels}},
		}},
	}}
	_, err = c.AppsV1().Deployments(Namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: preferred},
		Spec:       appsv1.DeploymentSpec{Replicas: &three, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: *pod},
	}, metav1.CreateOptions{})
	return err
}

func scalePreferred(want int) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, want)
		_, err := c.AppsV1().Deployments(Namespace).Patch(ctx, preferred, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	}
}

// preferredGone fails while there is one of them, also one that is being deleted.
func preferredGone(ctx context.Context, c kubernetes.Interface) error {
	list, err := c.CoreV1().Pods(Namespace).List(ctx, clusters.OfApp(preferred))
	if err != nil {
		return err
	}
	return Unless(len(list.Items) == 0, fmt.Errorf("there are %v", namesOf(list.Items)))
}

func deletePreferred(ctx context.Context, c kubernetes.Interface) error {
	foreground := metav1.DeletePropagationForeground
	return c.AppsV1().Deployments(Namespace).Delete(ctx, preferred, metav1.DeleteOptions{PropagationPolicy: &foreground})
}

// onHosts fails unless three ready replicas are on so many hosts.
func onHosts(d *Drill, want int) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Pods(Namespace).List(ctx, clusters.OfApp(preferred))
		if err != nil {
			return err
		}
		ready, hosts := 0, map[string]bool{}
		for _, p := range list.Items {
			if p.DeletionTimestamp == nil && clusters.PodReady(&p) {
				ready++
				hosts[hostOf(d, p.Spec.NodeName)] = true
			}
		}
		return Unless(ready == 3 && len(hosts) == want, fmt.Errorf("%d ready ones are on %d hosts", ready, len(hosts)))
	}
}
