package overload

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: what a kubelet does when its node runs out of something can be set (A:L75).
var _ = Describe("A worker that is told to keep memory free", Topology(withWorkers), Nightly, func() {
	It("puts out a pod that has more than it asked for when memory is short, and takes no other until that is over", Claims("CONF-07"), func(ctx SpecContext) {
		AWorkerEvicts(ctx, On(ctx, withWorkers))
	})
})

// The pods that share the memory, in MiB. The one that has more of it has asked for it.
const (
	modest, modestHas, modestAsks = "modest", 250, 300
	greedy, greedyHas             = "greedy", 200
	// late is a pod that comes while memory is short.
	late = "late"
)

const (
	// spare is how many bytes are available beside the threshold with both pods. What else comes
	// to take memory has twice that, and the greedy pod gives as much back: a node's caches
	// may change by less than the spare.
	spare, stress = 100 << 20, 200 << 20
	// transition is how long the kubelet is to wait before it takes a shortage for over. That
	// is long enough to see what follows from one.
	transition = time.Minute
)

// AWorkerEvicts is the experiment of CONF-07. A kubelet in a container takes for available what
// its machine has without what the container uses, so that a threshold just below that hurts
// nobody else. Neither pod is new when memory gets short, because a kubelet counts what they
// have only every 10 s, and evicts by that.
func AWorkerEvicts(ctx context.Context, d *Drill) {
	GinkgoHelper()
	worker := Workers(d.Nodes)[0]
	before, _ := lookAt(ctx, d, worker)
	Expect(d.StartPod(withinRequests(worker))).To(Succeed())
	Expect(d.StartPod(Hog(worker, greedy, nil, "-memory", strconv.Itoa(greedyHas)))).To(Succeed())
	var available int64
	Expect(d.BecomesTrue("the kubelet has counted what two pods have, one as much as it asked for and one more", d.Timing.Binding(),
		counted(worker, map[string]int64{modest: modestHas << 20, greedy: greedyHas << 20}, &available))).To(Succeed())
	threshold := available - spare
	both := All(running(modest, greedy), underPressure(worker, corev1.ConditionFalse, nil))

	By("keeping nothing free")
	d.Inject(fault.StressMemory(worker, stress))
	Expect(d.BecomesTrue(fmt.Sprintf("less than %d MiB of memory are available", threshold>>20), d.Timing.Binding(), fewer(worker, threshold))).To(Succeed())
	Expect(d.StaysTrueFor("without a threshold nobody minds", d.Timing.UnderPressure().Upper, both)).To(Succeed())
	d.UndoLast()

	By("keeping some free")
	d.Then(fault.SetFlags([]string{evictBelow(threshold), "--eviction-pressure-transition-period=" + transition.String()}, worker.Instances(clusters.Kubelet)...))
	before.bytes -= threshold
	Expect(d.BecomesTrue("what is to be kept free is none of what pods may ask for", d.Timing.Binding(), allows(worker, before))).To(Succeed())
	Expect(d.BecomesTrue("the worker is ready", d.Timing.Binding(), AllNodesReady)).To(Succeed())
	Expect(d.StaysTrueFor("as long as more is available nobody minds", d.Timing.UnderPressure().Upper, both)).To(Succeed())

	By("using that too")
	d.Then(fault.StressMemory(worker, stress))
	var began, over time.Time
	Expect(d.BecomesTrue("the worker says that it is short of memory", d.Timing.UnderPressure(), underPressure(worker, corev1.ConditionTrue, &began))).To(Succeed())
	Expect(d.BecomesTrue("it has the taint for that", d.Timing.Noticed(), tainted(worker))).To(Succeed())
	Expect(d.Attempt("create another pod for the worker", create(choosing(WorkloadPod(worker, late, "heartbeat"))))).To(BeAccepted())
	// The other one is the master.
	Expect(d.BecomesTrue("that waits because of the taint", d.Timing.Noticed(), waits(late, "2 node(s) had untolerated taint"))).To(Succeed())
	Expect(d.BecomesTrue("the pod that has more than it asked for is evicted", d.Timing.Binding(), ended(greedy, evicted))).To(Succeed())
	Expect(d).To(KeepServing(probe.Workload).On(worker))

	Expect(d.BecomesTrue("the worker is short of nothing any more, while what came takes memory still", clusters.Bounds{Upper: d.Timing.PressureOver(transition).Upper},
		underPressure(worker, corev1.ConditionFalse, &over))).To(Succeed())
	Expect(d.Took("by its own account that was over", over.Sub(began), d.Timing.PressureOver(transition))).To(Succeed())
	Expect(d.BecomesTrue("the pod that came meanwhile runs", d.Timing.Binding(), running(late))).To(Succeed())
	Expect(d.BecomesTrue("nobody but the greedy pod had to go, and who has what it asked for runs as before", d.Timing.Noticed(),
		All(running(modest), onlyEvicted(worker, greedy)))).To(Succeed())

	d.Undo()
	Expect(d.BecomesTrue("the worker is ready", d.Timing.Binding(), AllNodesReady)).To(Succeed())
}

// withinRequests is a pod that may have what it asks for, and has less.
func withinRequests(n *clusters.Node) *corev1.Pod {
	asked := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("100m"),
		corev1.ResourceMemory: *resource.NewQuantity(modestAsks<<20, resource.BinarySI),
	}
	pod := Hog(n, modest, asked, "-memory", strconv.Itoa(modestHas))
	pod.Spec.Containers[0].Resources.Requests = asked
	return pod
}

// underPressure fails unless the node says that of its memory, and tells since when it does.
func underPressure(n *clusters.Node, want corev1.ConditionStatus, since *time.Time) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		node, err := c.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		at := slices.IndexFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeMemoryPressure })
		if at < 0 || node.Status.Conditions[at].Status != want {
			return fmt.Errorf("its conditions are %+v", node.Status.Conditions)
		}
		if since != nil {
			*since = node.Status.Conditions[at].LastTransitionTime.Time
		}
		return nil
	}
}

// tainted fails unless the node repels pods because it is short of memory.
func tainted(n *clusters.Node) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		node, err := c.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		repels := slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool {
			return t.Key == corev1.TaintNodeMemoryPressure && t.Effect == corev1.TaintEffectNoSchedule
		})
		return Unless(repels, fmt.Errorf("its taints are %v", node.Spec.Taints))
	}
}

// evicted is what a kubelet calls the end of a pod that it has put out.
const evicted = "Evicted"

// onlyEvicted fails unless exactly these pods of the node have been put out.
func onlyEvicted(n *clusters.Node, names ...string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		pods, err := podsOn(ctx, c, n)
		if err != nil {
			return err
		}
		out := []string{}
		for _, p := range pods {
			if p.Status.Reason == evicted {
				out = append(out, p.Name)
			}
		}
		return Unless(slices.Equal(out, names), fmt.Errorf("put out: %v", out))
	}
}
