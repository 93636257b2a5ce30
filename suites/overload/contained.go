package overload

import (
	"context"
	"errors"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: masters and workers have to be protected from overload and exhaustion, where
// there is only one of them even more (A:L45, A:L70).
var _ = Describe("A hog beside the only control plane", Topology(topology), Core, func() {
	It("stays within its limits, and without any takes what the node has and is killed before any component", Claims("CONF-01"), func(ctx SpecContext) {
		AHogIsContained(ctx, On(ctx, topology))
	})
})

// SpareMemory is what the node has beside the memory that its own parts need: the hog is not
// to take the whole machine.
const SpareMemory = 512 << 20

// AHogIsContained is the experiment of CONF-01; sabotage runs use it too. What requests take
// meanwhile is told; nobody promises it.
func AHogIsContained(ctx context.Context, d *Drill) {
	GinkgoHelper()
	master, memory := d.With(clusters.ControlPlane)[0], int64(d.Topology.MemoryBytes())+SpareMemory
	plane := ControlPlane(ctx, d)
	d.Inject(fault.LimitNode(master, 0, memory))

	By("giving it limits")
	begun := time.Now()
	busy := Hog(master, "limited-cpu", limits, "-cpu")
	used := watchUse(ctx, d, StartBusy(d, master, busy))
	Expect(d.Saw("with a limit of CPU time it is throttled to that", used.String(), used.throttledTo(d.Timing.Slack*cpuLimit))).To(Succeed())
	End(d, busy)

	greedy := Hog(master, "limited-memory", limits, "-memory", fmt.Sprint(memory>>20))
	Expect(d.StartPod(greedy)).To(Succeed())
	Expect(d.BecomesTrue("with a limit of memory it is killed before it has more", d.Timing.Binding(), Killed(greedy, upTo(memoryLimit>>20)))).To(Succeed())
	End(d, greedy)
	Expect(d).To(KeepServing(probe.Write).For(watched))
	Expect(d.Saw("no component beside it is replaced, and no lease is lost", d.Latency(probe.Write, begun), errors.Join(plane.Replaced(ctx), plane.Deposed(d)))).To(Succeed())

	By("giving it none")
	begun = time.Now()
	busy = Hog(master, "unlimited-cpu", nil, "-cpu")
	unlimited := StartBusy(d, master, busy)
	used = watchUse(ctx, d, unlimited)
	Expect(d.Saw("without a limit it takes more, and is never throttled", used.String(), used.unthrottledAbove(d.Timing.Slack*cpuLimit))).To(Succeed())
	Expect(d.Told("should memory run out, the kernel takes it before any component", plane.outlives(ctx, unlimited))).To(Succeed())
	End(d, busy)

	greedy = Hog(master, "unlimited-memory", nil, "-memory", fmt.Sprint(memory>>20))
	Expect(d.StartPod(greedy)).To(Succeed())
	Expect(d.BecomesTrue("without a limit it has more when the node's memory is used up and it is killed", d.Timing.StandStill(), Killed(greedy, Above(memoryLimit>>20)))).To(Succeed())
	End(d, greedy)
	// The node may have stood still for longer than a leader waits.
	if replaced := plane.Replaced(ctx); replaced != nil {
		d.Noted("components beside it that ended", replaced.Error())
	}
	Expect(d.Saw("no component beside it is killed", d.Latency(probe.Write, begun), plane.killed(ctx))).To(Succeed())

	d.Undo()
	for _, name := range []probe.Name{probe.Write, probe.Schedule, probe.Reconcile} {
		Expect(d).To(Resume(name).Within(d.Timing.Binding()))
	}
	Expect(d.BecomesTrue("the node is ready", d.Timing.Binding(), AllNodesReady)).To(Succeed())
}
