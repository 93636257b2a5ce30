package storage

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: a database that does not cluster wants a volume outside the nodes, with which it
// can move (A:L112).
var _ = Describe("A lone database on a volume outside the nodes", Topology("external-volume"), Nightly, WholeHost, func() {
	It("is not moved from a dead node before somebody says that the node is dead, and then has its data", Claims("WORK-04"), func(ctx SpecContext) {
		d := On(ctx, "external-volume")
		was := databasePod(ctx, d)
		victim, err := d.Node(was.Spec.NodeName)
		Expect(err).NotTo(HaveOccurred())
		other := d.Survivors(victim.Host)[0]
		Expect(d.Told("a mark is written to it", call(ctx, other, was, "put", `"revision"`, markKey, mark(was)))).To(Succeed())
		d.Inject(fault.PowerOff(victim))

		Expect(d).To(MarkNotReady(victim).Within(d.Timing.NodeNotReady()))
		Expect(d.BecomesTrueAfterFault("its pod is to be deleted", d.Timing.Eviction(), waitsForItsNode(was))).To(Succeed())
		Expect(d.StaysTrueFor("that pod stays, and nobody starts another", d.Timing.OutOfService().Upper, waitsForItsNode(was))).To(Succeed())
		Expect(d).To(KeepServing(probe.Write))
		Expect(d).To(KeepServing(probe.Workload).On(other))

		d.Afterwards(setOutOfService(victim, false))
		Expect(d.Attempt("taint the node as out of service", setOutOfService(victim, true))).To(BeAccepted())
		Expect(d.BecomesTrue("it runs on the other node, with the mark", d.Timing.OutOfService(), runsWithMark(was, other))).To(Succeed())

		d.Undo()
		Expect(d.BecomesTrue("the node is called ready again", d.Timing.NodeReturn(), AllNodesReady)).To(Succeed())
		Expect(d.Attempt("take the taint back", setOutOfService(victim, false))).To(BeAccepted())
		Expect(d).To(Resume(probe.Workload).On(victim).Within(d.Timing.NodeReturn()))
		Expect(d.StaysTrue("it stays where it is", runsWithMark(was, other))).To(Succeed())
		Expect(d.Told("the mark is deleted", call(ctx, other, databasePod(ctx, d), "deleterange", `"deleted":"1"`, markKey))).To(Succeed())
		d.Drifted("a node can be tainted as out of service, and its pods are moved with their volumes; before somebody had to delete each by force")
	})
})

// markKey is the key of what is written before the loss, as etcd's JSON gateway has it.
const markKey = `"key":"bWFyaw=="`

// mark is a value that no database but that of this pod can have.
func mark(p *corev1.Pod) string {
	return fmt.Sprintf(`"value":%q`, base64.StdEncoding.EncodeToString([]byte(p.UID)))
}

// callScript asks the etcd at the address $1 for $2, with the arguments $3.
const callScript = `curl --silent --show-error --fail --max-time 3 --data "$3" "http://$1:2379/v3/kv/$2"`

// call asks the database in a pod, from a node, and fails unless its answer has something.
func call(ctx context.Context, from *clusters.Node, database *corev1.Pod, what, want string, arguments ...string) error {
	out, err := from.Exec(ctx, "sh", "-c", callScript, "sh", database.Status.PodIP, what, "{"+strings.Join(arguments, ",")+"}")
	if err != nil {
		return err
	}
	return Unless(strings.Contains(string(out), want), fmt.Errorf("the answer to %s is %s", what, out))
}

// databasePod is the only pod of the database.
func databasePod(ctx context.Context, d *Drill) *corev1.Pod {
	GinkgoHelper()
	client, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	pod, err := thePod(ctx, client)
	Expect(err).NotTo(HaveOccurred())
	return pod
}

// thePod fails also when there are several: two databases would share one volume.
func thePod(ctx context.Context, c kubernetes.Interface) (*corev1.Pod, error) {
	list, err := c.CoreV1().Pods(clusters.ExternalVolume.Namespace()).List(ctx, members)
	if err != nil {
		return nil, err
	}
	if len(list.Items) != 1 {
		return nil, fmt.Errorf("the database has %d pods", len(list.Items))
	}
	return &list.Items[0], nil
}

// waitsForItsNode fails unless the pod is that of before, and to be deleted.
func waitsForItsNode(was *corev1.Pod) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		pod, err := thePod(ctx, c)
		if err != nil {
			return err
		}
		return Unless(pod.UID == was.UID && pod.DeletionTimestamp != nil,
			fmt.Errorf("the pod of before: %t, on %s, deleted at %v", pod.UID == was.UID, pod.Spec.NodeName, pod.DeletionTimestamp))
	}
}

// runsWithMark fails unless another pod than before runs on a node and has the mark.
func runsWithMark(was *corev1.Pod, n *clusters.Node) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		pod, err := thePod(ctx, c)
		if err != nil {
			return err
		}
		if pod.UID == was.UID || pod.Spec.NodeName != n.Name || !clusters.PodReady(pod) {
			return fmt.Errorf("the pod of before: %t, on %q, ready %t", pod.UID == was.UID, pod.Spec.NodeName, clusters.PodReady(pod))
		}
		return call(ctx, n, pod, "range", mark(was), markKey)
	}
}

// setOutOfService says that a node is dead for sure and its volumes may be used elsewhere, or
// takes that back.
func setOutOfService(n *clusters.Node, dead bool) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		return retry.RetryOnConflict(retry.DefaultRetry, func() error {
			node, err := c.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			node.Spec.Taints = slices.DeleteFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeOutOfService })
			if dead {
				taint := corev1.Taint{Key: corev1.TaintNodeOutOfService, Value: "nodeshutdown", Effect: corev1.TaintEffectNoExecute}
				node.Spec.Taints = append(node.Spec.Taints, taint)
			}
			_, err = c.CoreV1().Nodes().Update(ctx, node, metav1.UpdateOptions{})
			return err
		})
	}
}
