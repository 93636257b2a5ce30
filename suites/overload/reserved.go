package overload

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
)

// Document A: what pods may have of a worker should be set, with Node Allocatable (A:L73-74).
var _ = Describe("A worker that keeps something for itself", Topology(withWorkers), Nightly, func() {
	It("takes pods for what is left, and stays ready while they use what they get", Claims("CONF-05"), func(ctx SpecContext) {
		AWorkerKeepsSomething(ctx, On(ctx, withWorkers))
	})
})

// The sizes of pods: large ones want CPU time, of small ones only the number matters.
const (
	large = "large"
	small = "small"
)

// How many pods there are of each size, and how many of them fit while something is kept.
const (
	larges, fittingLarges = 4, 2
	smalls, fittingSmalls = 3, 2
)

// AWorkerKeepsSomething is the experiment of CONF-05. What finds no room while something is kept
// finds it as soon as nothing is.
func AWorkerKeepsSomething(ctx context.Context, d *Drill) {
	GinkgoHelper()
	worker := Workers(d.Nodes)[0]
	before, taken := lookAt(ctx, d, worker)
	share := (before.milliCPUs - taken.milliCPUs) / larges
	kept := reservation{milliCPUs: (larges - fittingLarges) * share / 2, pods: taken.pods + fittingLarges + fittingSmalls}
	left := kept.leaves(before)

	d.Inject(fault.SetFlags(kept.flags(), worker.Instances(clusters.Kubelet)...))
	Expect(d.BecomesTrue("pods may have "+left.String()+": what the worker has, without what is reserved and the threshold of eviction",
		d.Timing.Binding(), allows(worker, left))).To(Succeed())
	Expect(d.BecomesTrue("the worker is ready", d.Timing.Binding(), AllNodesReady)).To(Succeed())

	By("wanting more CPU time than is left")
	for n := range larges {
		Expect(d.Attempt("create a large pod for the worker", create(choosing(sized(worker, large, n, share))))).To(BeAccepted())
	}
	busy := divided(large, fittingLarges, larges-fittingLarges, "Insufficient cpu")
	Expect(d.BecomesTrue("two of four large pods run, and the others wait for CPU time", d.Timing.Binding(), busy)).To(Succeed())
	forced := sized(worker, "forced", 0, share)
	Expect(d.Attempt("create a large pod past the scheduler", create(forced))).To(BeAccepted())
	Expect(d.BecomesTrue("the worker refuses it by itself", d.Timing.Binding(), ended(forced.Name, "OutOfcpu"))).To(Succeed())

	By("wanting more pods than it takes")
	for n := range smalls {
		Expect(d.Attempt("create a small pod for the worker", create(choosing(sized(worker, small, n, 0))))).To(BeAccepted())
	}
	crowded := divided(small, fittingSmalls, smalls-fittingSmalls, "Too many pods")
	Expect(d.BecomesTrue("two of three small pods run, and the other waits because there are too many", d.Timing.Binding(), crowded)).To(Succeed())
	Expect(d.StaysTrueFor("the worker is ready while the large pods take all CPU time that they get, and nobody else finds room",
		d.Timing.NodeNotReady().Upper, All(AllNodesReady, busy, crowded))).To(Succeed())

	d.Undo()
	// That they run is not said: the large ones take the time that starting the others would.
	Expect(d.BecomesTrue("as soon as nothing is kept all of them find room", d.Timing.Binding(), All(placed(large, larges), placed(small, smalls)))).To(Succeed())
	Expect(d.BecomesTrue("the worker is ready", d.Timing.Binding(), AllNodesReady)).To(Succeed())
}

// sized is a pod for the worker: one of a size with so many thousandths of CPUs takes all that it
// can get, and one without any does nothing.
func sized(n *clusters.Node, size string, number int, milliCPUs int64) *corev1.Pod {
	var appetite []string
	if milliCPUs > 0 {
		appetite = []string{"-cpu"}
	}
	pod := Hog(n, nameOf(size, number), nil, appetite...)
	pod.Labels = map[string]string{sizeLabel: size}
	pod.Spec.Containers[0].Resources.Requests = room{milliCPUs: milliCPUs}.requests()
	return pod
}
