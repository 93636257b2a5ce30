package workers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

const (
	// replicas are so many that each of two workers has some.
	replicas = 4
	// bare is a pod that no controller owns.
	bare = "bare"
	// patient is a bare pod that tolerates longer than others that its node is silent.
	patient = "patient"
	// late is one like it that comes when its node is lost already.
	late = "late"
)

// What the deployment is to come to.
var (
	allReady     = ReplicasReady(replicas)
	noPodTooMany = ReplicasExist(replicas)
	somePending  = SomePodWaits(Namespace, OfDeployment)
)

// workers are the two of the topology. The first is the one to lose.
func workers(d *Drill) (victim, other *clusters.Node) {
	all := Workers(d.Nodes)
	return all[0], all[1]
}

// occupy puts replicas on both workers and a bare pod on the victim. The replicas are
// taken back with the spec.
func occupy(d *Drill, victim *clusters.Node) {
	GinkgoHelper()
	d.Afterwards(ScaleTo(1))
	Expect(d.Attempt("scale a deployment", ScaleTo(replicas))).To(BeAccepted())
	Expect(d.StartPodOn(victim, bare)).To(Succeed())
	Expect(d.BecomesTrue("all replicas run, some of them on "+victim.Name, d.Timing.Binding(), func(ctx context.Context, c kubernetes.Interface) error {
		if err := allReady(ctx, c); err != nil {
			return err
		}
		pods, err := on(ctx, c, victim)
		if err == nil && len(pods) < 2 {
			err = fmt.Errorf("only %d pods are on it", len(pods))
		}
		return err
	})).To(Succeed())
}

// isEmptied expects the pods of a silent node to be evicted, and not before they have tolerated
// that it is silent.
func isEmptied(d *Drill, n *clusters.Node) {
	GinkgoHelper()
	Expect(d.Took("its pods are evicted", d.AwaitEviction(n), d.Timing.Eviction())).To(Succeed())
	Expect(d.Took("counted from when it was called not ready they are evicted", time.Since(d.NotReadySince(n)), d.Timing.EvictionAfterMark())).To(Succeed())
}

// markedForDeletion is when the API marked a pod of a silent node for deletion, by the time stamp of
// the end of its grace. That and the one of NotReadySince are cut to whole seconds, as tolerations
// are: what is between them never comes out too short.
func markedForDeletion(ctx context.Context, d *Drill, pod corev1.Pod) time.Time {
	GinkgoHelper()
	client, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	now, err := client.CoreV1().Pods(Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	Expect(now.DeletionTimestamp).NotTo(BeNil(), "pod %s is not marked for deletion", pod.Name)
	return now.DeletionTimestamp.Add(-time.Duration(*now.DeletionGracePeriodSeconds) * time.Second)
}

// patientPod tolerates two returns of its node. The cluster's default may be shorter than a
// kubelet needs that was frozen: it compares its status with what it knew of its node before, and
// corrects what the API says a period (nodeStatusUpdateFrequency) later.
func patientPod(d *Drill, n *clusters.Node, name string) *corev1.Pod {
	pod := WorkloadPod(n, name, "heartbeat")
	seconds := int64((2 * d.Timing.NodeReturn().Upper).Seconds())
	for _, taint := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{
			Key: taint, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds,
		})
	}
	return pod
}

// named are the pods of these names.
func named(pods []corev1.Pod, names ...string) []corev1.Pod {
	return slices.DeleteFunc(pods, func(p corev1.Pod) bool { return !slices.Contains(names, p.Name) })
}

// former are the pods that bear the names of earlier ones. Others may have come since.
func former(before, now []corev1.Pod) []corev1.Pod { return named(now, namesOf(before)...) }

func namesOf(pods []corev1.Pod) []string {
	var names []string
	for _, p := range pods {
		names = append(names, p.Name)
	}
	return names
}

// on lists the drill's pods on a node.
func on(ctx context.Context, c kubernetes.Interface, n *clusters.Node) ([]corev1.Pod, error) {
	list, err := c.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + n.Name})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// webIsSpread fails unless the web service has its two pods ready on different nodes. Where
// an earlier eviction has left both on one, it deletes one: the scheduler spreads them.
func webIsSpread(ctx context.Context, c kubernetes.Interface) error {
	pods, web := probe.WebPods(c)
	list, err := pods.List(ctx, web)
	if err != nil {
		return err
	}
	nodes := map[string]bool{}
	for _, p := range list.Items {
		if p.DeletionTimestamp != nil || !clusters.PodReady(&p) {
			return fmt.Errorf("pod %s is not ready", p.Name)
		}
		nodes[p.Spec.NodeName] = true
	}
	if len(nodes) == len(list.Items) {
		return nil
	}
	return errors.Join(fmt.Errorf("%d pods are on %d nodes", len(list.Items), len(nodes)), pods.Delete(ctx, list.Items[0].Name, metav1.DeleteOptions{}))
}

// podsOf lists the replicas of the drill's deployment.
func podsOf(ctx context.Context, d *Drill) []corev1.Pod {
	GinkgoHelper()
	client, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	list, err := client.CoreV1().Pods(Namespace).List(ctx, OfDeployment)
	Expect(err).NotTo(HaveOccurred())
	Expect(list.Items).NotTo(BeEmpty())
	return list.Items
}

// runsWithout fails unless the drill's deployment has a ready replica elsewhere.
func runsWithout(n *clusters.Node) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Pods(Namespace).List(ctx, OfDeployment)
		if err != nil {
			return err
		}
		return Unless(slices.ContainsFunc(list.Items, func(p corev1.Pod) bool {
			return p.Spec.NodeName != n.Name && clusters.PodReady(&p)
		}), fmt.Errorf("there are %d pods", len(list.Items)))
	}
}

func isTainted(n *clusters.Node) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		node, err := c.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool {
			return t.Key == corev1.TaintNodeUnreachable && t.Effect == corev1.TaintEffectNoExecute
		}) {
			return fmt.Errorf("its taints are %v", node.Spec.Taints)
		}
		return nil
	}
}

func noneReady(n *clusters.Node) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		pods, err := on(ctx, c, n)
		for _, p := range pods {
			if err == nil && clusters.PodReady(&p) {
				err = fmt.Errorf("pod %s is called ready", p.Name)
			}
		}
		return err
	}
}

// stillReady fails unless the API calls the node and its pods ready.
func stillReady(n *clusters.Node) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		node, err := c.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if !IsReady(*node) {
			return fmt.Errorf("node %s is not ready", n.Name)
		}
		pods, err := on(ctx, c, n)
		for _, p := range pods {
			if err == nil && !clusters.PodReady(&p) {
				err = fmt.Errorf("pod %s is not ready", p.Name)
			}
		}
		return err
	}
}

// notReady fails unless the API calls the node not ready.
func notReady(n *clusters.Node) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		node, err := c.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return Unless(!IsReady(*node), fmt.Errorf("node %s is ready", n.Name))
	}
}

// saysRuntimeIsDown fails unless the node itself says that its container runtime is down. Of one
// that is silent the controller manager says that nobody knows.
func saysRuntimeIsDown(n *clusters.Node) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		node, err := c.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		ready := ReadyCondition(*node)
		says := ready.Status == corev1.ConditionFalse && strings.Contains(ready.Message, "container runtime is down")
		return Unless(says, fmt.Errorf("it is called ready: %s, %s: %s", ready.Status, ready.Reason, ready.Message))
	}
}

// podIs fails unless the pod of that name is as it should be.
func podIs(name string, as func(*corev1.Pod) bool) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		pod, err := c.CoreV1().Pods(Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return Unless(as(pod), fmt.Errorf("it is %s, conditions %+v, deletion %v", pod.Status.Phase, pod.Status.Conditions, pod.DeletionTimestamp))
	}
}

// kept tells whether nobody has marked a pod for deletion.
func kept(p *corev1.Pod) bool { return p.DeletionTimestamp == nil }

// pending tells whether a pod is kept and has not started.
func pending(p *corev1.Pod) bool { return kept(p) && p.Status.Phase == corev1.PodPending }

// restarted fails unless earlier pods are ready on their node, each the same and restarted since.
func restarted(n *clusters.Node, before []corev1.Pod) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		pods, err := on(ctx, c, n)
		if err != nil {
			return err
		}
		now := former(before, pods)
		for _, p := range now {
			if !clusters.PodReady(&p) {
				return fmt.Errorf("pod %s is not ready", p.Name)
			}
		}
		return SamePodsRestarted(before, now)
	}
}

// besideReplicas fails unless the drills' namespace has exactly the pods of these names beside the
// replicas of its deployment.
func besideReplicas(names ...string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		others := metav1.ListOptions{LabelSelector: clusters.AppLabel + "!=" + Deployment}
		list, err := c.CoreV1().Pods(Namespace).List(ctx, others)
		if err != nil {
			return err
		}
		found := namesOf(list.Items)
		return Unless(slices.Equal(found, names), fmt.Errorf("beside the replicas there are %v, want %v", found, names))
	}
}

// hasNoPods fails while a pod of any namespace is on a node.
func hasNoPods(n *clusters.Node) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + n.Name})
		if err != nil {
			return err
		}
		return Unless(len(list.Items) == 0, fmt.Errorf("%v are on it", namesOf(list.Items)))
	}
}

// bareIsDeleted fails unless the bare pod is marked for deletion, and still there.
func bareIsDeleted(ctx context.Context, c kubernetes.Interface) error {
	pod, err := c.CoreV1().Pods(Namespace).Get(ctx, bare, metav1.GetOptions{})
	if err == nil && (pod.DeletionTimestamp == nil || pod.Status.Phase != corev1.PodRunning) {
		err = fmt.Errorf("it is %s, deletion %v", pod.Status.Phase, pod.DeletionTimestamp)
	}
	return err
}

// running counts the containers of the drills' pods that run on a node, by its own runtime; with a
// name, those of that name only.
func running(ctx context.Context, n *clusters.Node, names ...string) (int, error) {
	argv := []string{"crictl", "ps", "--quiet", "--state", "running", "--label", "io.kubernetes.pod.namespace=" + Namespace}
	for _, name := range names {
		argv = append(argv, "--name", "^"+name+"$")
	}
	out, err := n.Exec(ctx, argv...)
	return len(strings.Fields(string(out))), err
}

// replicasRun fails unless so many replicas of the drills' deployment run on a node.
func replicasRun(ctx context.Context, n *clusters.Node, want int) error {
	have, err := running(ctx, n, ReplicaContainer)
	return Unless(err == nil && have == want, errors.Join(err, fmt.Errorf("%d replicas run on %s, want %d", have, n.Name, want)))
}

// nothingRuns fails unless the kubelet of a node runs, and none of the drills' pods.
func nothingRuns(ctx context.Context, n *clusters.Node) error {
	if _, err := n.Instances(clusters.Kubelet)[0].Process(ctx); err != nil {
		return err
	}
	have, err := running(ctx, n)
	return Unless(err == nil && have == 0, errors.Join(err, fmt.Errorf("%d containers run on %s", have, n.Name)))
}

// replicasOn counts the replicas that the API has on a node.
func replicasOn(ctx context.Context, d *Drill, n *clusters.Node) int {
	GinkgoHelper()
	return len(slices.DeleteFunc(podsOf(ctx, d), func(p corev1.Pod) bool { return p.Spec.NodeName != n.Name || p.DeletionTimestamp != nil }))
}
