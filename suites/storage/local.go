package storage

import (
	"context"
	"fmt"
	"slices"
	"strings"

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

// Document A: a database that spreads over hosts on local volumes keeps its quorum when one
// of them is lost, if there are enough of them (A:L114). The members are ready while they
// have a quorum, and their volumes bind them to their nodes.
var _ = Describe("A database of three on volumes of their nodes", Nightly, WholeHost, func() {
	DescribeTable("that loses a host", Claims("WORK-07"),
		func(ctx SpecContext, topology, host string, left int) {
			d := On(ctx, topology)
			lost, other := d.Host(host), d.Survivors(host)[0]
			first := membersOf(ctx, d)[0]
			written := mark(&first)
			Expect(d.Told("a mark is written through their quorum", call(ctx, other, &first, "put", `"revision"`, markKey, written))).To(Succeed())
			d.Inject(fault.PowerOff(lost...).Losing(clusters.CoreDNS))

			Expect(d).To(MarkNotReady(lost...).Within(d.Timing.NodeNotReady()))
			Expect(d.BecomesTrue(fmt.Sprintf("%d of three members serve", left), d.Timing.Noticed(), membersReady(left))).To(Succeed())
			others := All(membersReady(left), membersAreBound(d, lost))
			Expect(d.StaysTrueFor("so it is, and no member moves to another node", d.Timing.Eviction().Upper, others)).To(Succeed())
			nobodyTakesTheirPlace(ctx, d, lost, others)
			Expect(d).To(KeepServing(probe.Write))

			d.Undo()
			Expect(d.BecomesTrue("all three serve again, with their data", d.Timing.NodeReturn(), All(membersReady(clusters.QuorumSize), haveMark(other, written)))).To(Succeed())
			Expect(d.Told("the mark is deleted", call(ctx, other, &membersOf(ctx, d)[0], "deleterange", `"deleted":"1"`, markKey))).To(Succeed())
		},
		Entry("keeps its quorum on three hosts", Topology("stateful-local"), "stateful-local", "h1", 2),
		Entry("loses it with the one of two hosts that has two members", Topology("stateful-local-two-plus-one"), "stateful-local-two-plus-one", "h1", 0),
		Entry("keeps it without the one of two hosts that has one member", Topology("stateful-local-two-plus-one"), "stateful-local-two-plus-one", "h2", 2),
	)
})

// nobodyTakesTheirPlace deletes a lost member by force, without which it would not be replaced, and
// expects that its replacement waits for the node of its volume, and the others are as before.
func nobodyTakesTheirPlace(ctx context.Context, d *Drill, lost []*clusters.Node, others Request) {
	GinkgoHelper()
	evicted := evictedFrom(ctx, d, lost)
	Expect(d.Attempt("delete an evicted member by force", deleteByForce(evicted))).To(BeAccepted())
	Expect(d.BecomesTrue("its replacement finds no node, because its volume is on a lost one", d.Timing.Binding(), waitsForItsVolume(evicted))).To(Succeed())
	Expect(d.StaysTrue("so it is, and no other member is concerned", All(waitsForItsVolume(evicted), others))).To(Succeed())
}

var members = clusters.OfApp(clusters.DatabaseApp)

// membersReady fails unless so many members are ready.
func membersReady(want int) Request {
	return PodsReady(clusters.LocalVolumes.Namespace(), members, want)
}

func membersOf(ctx context.Context, d *Drill) []corev1.Pod {
	GinkgoHelper()
	client, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	list, err := client.CoreV1().Pods(clusters.LocalVolumes.Namespace()).List(ctx, members)
	Expect(err).NotTo(HaveOccurred())
	Expect(list.Items).NotTo(BeEmpty())
	return list.Items
}

// haveMark fails unless each member has the mark in its own data, whatever the others say.
func haveMark(from *clusters.Node, written string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Pods(clusters.LocalVolumes.Namespace()).List(ctx, members)
		if err != nil {
			return err
		}
		for _, p := range list.Items {
			if err := call(ctx, from, &p, "range", written, markKey, `"serializable":true`); err != nil {
				return fmt.Errorf("member %s: %w", p.Name, err)
			}
		}
		return nil
	}
}

// isOn tells whether a pod is on one of the nodes.
func isOn(p corev1.Pod, nodes []*clusters.Node) bool {
	return slices.ContainsFunc(nodes, func(n *clusters.Node) bool { return n.Name == p.Spec.NodeName })
}

// evictedFrom is a member on a lost node that is to be deleted, and waits for its node.
func evictedFrom(ctx context.Context, d *Drill, lost []*clusters.Node) corev1.Pod {
	GinkgoHelper()
	all := membersOf(ctx, d)
	at := slices.IndexFunc(all, func(p corev1.Pod) bool { return isOn(p, lost) && p.DeletionTimestamp != nil })
	Expect(at).To(BeNumerically(">=", 0), "no member is evicted from the lost nodes")
	return all[at]
}

// deleteByForce lets a pod be replaced whose end its node does not confirm.
func deleteByForce(p corev1.Pod) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		now := int64(0)
		return c.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	}
}

// boundByVolume is what the scheduler says of nodes that a pod's volume is not on. It asks for that
// before it asks for what repels the pod.
const boundByVolume = "didn't match PersistentVolume's node affinity"

// waitsForItsVolume fails unless another pod has the member's name, and the scheduler finds no node
// for it because of its volume.
func waitsForItsVolume(was corev1.Pod) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		pod, err := c.CoreV1().Pods(was.Namespace).Get(ctx, was.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		refused := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && strings.Contains(c.Message, boundByVolume)
		})
		return Unless(pod.UID != was.UID && pod.Spec.NodeName == "" && refused,
			fmt.Errorf("the pod of before: %t, on %q, conditions %+v", pod.UID == was.UID, pod.Spec.NodeName, pod.Status.Conditions))
	}
}

// membersAreBound fails when a member of a lost node runs elsewhere: the others are as many
// as before.
func membersAreBound(d *Drill, lost []*clusters.Node) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Pods(clusters.LocalVolumes.Namespace()).List(ctx, members)
		if err != nil {
			return err
		}
		elsewhere := 0
		for _, p := range list.Items {
			if p.Spec.NodeName != "" && !isOn(p, lost) {
				elsewhere++
			}
		}
		want := len(d.WorkloadNodes()) - len(lost)
		return Unless(elsewhere == want, fmt.Errorf("%d members are on the other nodes, which had %d", elsewhere, want))
	}
}
