package workers

import (
	"context"
	"fmt"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Workers that lose the load balancer look dead to a control plane that is well. What comes
// of it depends on how many there are: the controller manager gives up silent nodes one
// after the other, and no more of them when at least 55 % and more than two of all nodes
// are silent (--unhealthy-zone-threshold; no label divides the nodes into zones).
var _ = Describe("A load balancer that is out for long", Component(clusters.Envoy), func() {
	It("lets a healthy control plane evict healthy pods from two workers", Topology(topology), Core, Claims("LB-03"), func(ctx SpecContext) {
		d := On(ctx, topology)
		victim, other := workers(d)
		occupy(d, victim)
		had := map[*clusters.Node]int{victim: replicasOn(ctx, d, victim), other: replicasOn(ctx, d, other)}
		loseBalancer(d)

		Expect(d).To(MarkNotReady(victim, other).Within(d.Timing.NodeNotReady()))
		for _, n := range []*clusters.Node{victim, other} {
			Expect(d.Took("the pods of "+n.Name+" are evicted", d.AwaitEviction(n), d.Timing.EvictionOf(2))).To(Succeed())
			Expect(d.Told("its replicas run on", replicasRun(ctx, n, had[n]))).To(Succeed())
		}
		Expect(d.StaysTrue("their replacements have no node", somePending)).To(Succeed())
		Expect(d).To(KeepServing(probe.Workload))

		d.Undo()
		Expect(d.BecomesTrue("the workers are called ready again", d.Timing.NodeReturn(), AllNodesReady)).To(Succeed())
		Expect(d.BecomesTrue("all replicas run", d.Timing.NodeReturn(), allReady)).To(Succeed())
		Expect(d.BecomesTrue("there are exactly as many pods as replicas", d.Timing.NodeReturn(), noPodTooMany)).To(Succeed())
		d.Drifted("workers that only the load balancer's loss has silenced are given up, and their pods evicted")
	})

	It("spares most of four workers", Topology(fourWorkers), Nightly, Claims("LB-03"), func(ctx SpecContext) {
		d := On(ctx, fourWorkers)
		loseBalancer(d)

		Expect(d).To(MarkNotReady(Workers(d.Nodes)...).Within(d.Timing.NodeNotReady()))
		Expect(d.StaysTrueFor("at most two of them are given up", d.Timing.EvictionOf(len(Workers(d.Nodes))).Upper, atMostGivenUp(2))).To(Succeed())
		Expect(d).To(KeepServing(probe.Workload))

		d.Undo()
		Expect(d.BecomesTrue("the workers are called ready again", d.Timing.NodeReturn(), AllNodesReady)).To(Succeed())
		d.Drifted("with so many workers silent the controller manager suspends eviction: losing more of them is safer")
	})
})

const fourWorkers = "multi-master-4-workers"

// loseBalancer takes the load balancer away with its machine, and asks a master directly from
// then on. A process that is only held down serves for moments.
func loseBalancer(d *Drill) {
	GinkgoHelper()
	d.Inject(fault.PowerOff(d.Forwarder).Losing(clusters.Envoy))
	d.AskThrough(d.APIServers()[0])
	Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
}

var _ = Describe("The loss of most nodes at once", Topology(fourWorkers), Nightly, WholeHost, func() {
	It("suspends eviction", Claims("NODE-07"), func(ctx SpecContext) {
		d := On(ctx, fourWorkers)
		d.Inject(fault.PowerOff(Workers(d.Nodes)...).Losing(clusters.CoreDNS))

		Expect(d).To(MarkNotReady(Workers(d.Nodes)...).Within(d.Timing.NodeNotReady()))
		Expect(d.StaysTrueFor("at most two of them are given up", d.Timing.EvictionOf(len(Workers(d.Nodes))).Upper, atMostGivenUp(2))).To(Succeed())

		d.Undo()
		Expect(d.BecomesTrue("all nodes are called ready again", d.Timing.NodeReturn(), AllNodesReady)).To(Succeed())
		d.Drifted("eviction stops when at least 55 % and more than two of all nodes are silent")
	})
})

// How many of many nodes that fall silent at once are given up is chance, and may be none: here it
// is the one that falls silent before the others.
var _ = Describe("A worker that was given up", Topology(fourWorkers), Nightly, WholeHost, func() {
	It("is so no more when all nodes are silent", Claims("NODE-07"), Component(clusters.Kubelet), func(ctx SpecContext) {
		d := On(ctx, fourWorkers)
		all := slices.Concat(Masters(d.Nodes), Workers(d.Nodes))
		victim := Workers(d.Nodes)[0]
		rest := slices.DeleteFunc(slices.Clone(all), func(n *clusters.Node) bool { return n == victim })
		d.Inject(fault.PowerOff(victim).Losing(clusters.CoreDNS))
		Expect(d).To(MarkNotReady(victim).Within(d.Timing.NodeNotReady()))
		Expect(d.BecomesTrue("it is given up", d.Timing.Noticed(), isTainted(victim))).To(Succeed())

		d.Then(fault.StopService(kubelets(rest)...).Losing(clusters.Kubelet))
		Expect(d).To(MarkNotReady(all...).Within(d.Timing.NodeNotReady()))
		Expect(d.BecomesTrue("no node is given up any more", d.Timing.EvictionTakenBack(), atMostGivenUp(0))).To(Succeed())
		Expect(d.StaysTrueFor("nor is one given up anew", d.Timing.NodeNotReady().Upper, atMostGivenUp(0))).To(Succeed())

		d.Undo()
		Expect(d.BecomesTrue("all nodes are called ready again", d.Timing.NodeReturn(), AllNodesReady)).To(Succeed())
		d.Drifted("that nodes were given up is taken back when all are silent")
	})
})

func kubelets(nodes []*clusters.Node) clusters.Instances {
	var all clusters.Instances
	for _, n := range nodes {
		all = append(all, n.Instances(clusters.Kubelet)...)
	}
	return all
}

// atMostGivenUp fails when more nodes than that bear the taint that evicts pods.
func atMostGivenUp(most int) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		var given []string
		for _, n := range list.Items {
			if slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Effect == corev1.TaintEffectNoExecute }) {
				given = append(given, n.Name)
			}
		}
		if len(given) > most {
			return fmt.Errorf("%v are given up", given)
		}
		return nil
	}
}
