package hosts

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/overload"
	"faultline/suites/probe"
)

// quotaOfWorker, in CPUs, is what the noisy virtual machine may use: what it needs when nothing
// runs wild in it, and little of what the smallest machine has.
const quotaOfWorker = 0.5

// memoryOfWorker is what it may use of the memory: what a worker needs, and some to run wild in.
func memoryOfWorker() int64 {
	worker := clusters.Topology{Hosts: []clusters.Host{{Members: []clusters.Member{{Role: clusters.Worker}}}}}
	return int64(worker.MemoryBytes()) + overload.SpareMemory
}

// Document A: a hypervisor governs what virtual machines may use, which protects those of the
// control plane from those of applications (A:L45, A:L62, A:L69). The hypervisor's quotas
// are the engine's here.
var _ = Describe("A virtual machine of workloads that runs wild beside those of masters", Topology("single-host-vms"), Nightly, func() {
	It("harms nobody but itself when it has quotas, and less with its fair share of the host than in their own machines", Claims("TOPO-17"), func(ctx SpecContext) {
		quotasProtectMasters(ctx, On(ctx, "single-host-vms"))
	})
})

// quotasProtectMasters is the experiment of TOPO-17.
func quotasProtectMasters(ctx context.Context, d *Drill) {
	GinkgoHelper()
	worker, plane := d.With(clusters.Worker)[0], overload.ControlPlane(ctx, d)
	idle := idlePace(d)

	By("running wild with quotas")
	d.Inject(fault.LimitNode(worker, quotaOfWorker, memoryOfWorker()))
	d.Inject(fault.StressCPU(worker, runtime.NumCPU()))
	limited := d.Pace(probe.Write)
	Expect(d.Saw("with a quota of CPU time the API's writes take as long as before", limited.String(), undisturbed(limited, idle))).To(Succeed())
	d.UndoLast()
	greedy := overload.Hog(worker, "wild", nil, "-memory", fmt.Sprint(memoryOfWorker()>>20))
	// Its node may stand still for longer than nodes may be silent, and nobody is to delete it before it is killed.
	greedy.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}}
	Expect(d.StartPod(greedy)).To(Succeed())
	Expect(d.BecomesTrue("with a quota of memory the kernel kills what wants more than the virtual machine has", d.Timing.StandStill(),
		overload.Killed(greedy, overload.Above(0)))).To(Succeed())
	overload.End(d, greedy)
	Expect(d.Told("no component of the control plane is replaced, no lease is lost, and etcd elects nobody",
		errors.Join(plane.Replaced(ctx), plane.Deposed(d), plane.Elected(d)))).To(Succeed())
	d.Undo()
	d.AwaitHealed()

	// Without want of memory: that would be this machine's.
	By("running wild without")
	d.Then(fault.StressCPU(worker, runtime.NumCPU()))
	// Nobody promises how much a fair share of the host leaves the masters: writes took between 0.9
	// and 2.9 times as long as with nobody who runs wild.
	free, lost := d.Pace(probe.Write), alsoLost(ctx, d, plane)
	d.Undo()
	d.AwaitHealed()

	// The control experiment.
	By("running wild in those of the masters")
	masters := d.With(clusters.ControlPlane)
	d.Then(fault.StressCPU(masters[0], runtime.NumCPU()))
	for _, m := range masters[1:] {
		d.Inject(fault.StressCPU(m, runtime.NumCPU()))
	}
	beside := d.Pace(probe.Write)
	Expect(d.Saw("in the same virtual machines it slows them down, more than with a fair share of the host",
		fmt.Sprintf("%s%s; with the fair share %s%s", beside, alsoLost(ctx, d, plane), free, lost),
		errors.Join(disturbed(beside, idle), disturbed(beside, free)))).To(Succeed())
	d.Undo()
	d.AwaitHealed()
	calmed(d, idle)
}
