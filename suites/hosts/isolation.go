package hosts

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	. "faultline/suites/drill"
	"faultline/suites/overload"
	"faultline/suites/probe"
)

const (
	// tolerated is how many times as long the slowest requests may take beside something that
	// is kept apart, and noise how many times as long they may take for no reason.
	tolerated = 3
	noise     = 1.5
	// saturated is the share of a core's time that may be idle when somebody takes all of it.
	saturated = 0.1
)

// Document A: with a host for the control plane and another for applications, resources are
// isolated at best (A:L59). A host is a core of this machine here.
var _ = Describe("Hogs that nobody limits", Nightly, func() {
	It("slow the control plane down on its own host, and not on another", Topology("two-host-minimal"), Claims("TOPO-13"), func(ctx SpecContext) {
		needCores(2)
		d := On(ctx, "two-host-minimal")
		keepHogsApart(ctx, d)
	})

	It("slow the control plane down where there is only one host", Topology("single-host-minimal"), Claims("TOPO-13"), func(ctx SpecContext) {
		needCores(2) // the second one is for those who watch
		d := On(ctx, "single-host-minimal")
		only := d.With(clusters.ControlPlane)[0]
		goHomeAfterwards(d, only)
		giveCore(ctx, d, 0, only)
		plane := overload.ControlPlane(ctx, d)
		idle := idlePace(d)

		hog := startHog(ctx, d, only)
		beside := paceWhileSaturated(ctx, d, only, 0)
		Expect(d.Saw("a hog beside the control plane slows it down", beside.String()+alsoLost(ctx, d, plane), disturbed(beside, idle))).To(Succeed())

		overload.End(d, hog)
		calmed(d, idle)
	})
})

// keepHogsApart is the experiment of TOPO-13 on two hosts: the same hog on a core of its own
// and on the one of the control plane.
func keepHogsApart(ctx context.Context, d *Drill) {
	GinkgoHelper()
	master, worker := d.With(clusters.ControlPlane)[0], d.With(clusters.Worker)[0]
	goHomeAfterwards(d, master, worker)
	giveCore(ctx, d, 0, master)
	giveCore(ctx, d, 1, worker)
	plane := overload.ControlPlane(ctx, d)
	idle := idlePace(d)

	By("saturating the other host")
	hog := startHog(ctx, d, worker)
	apart := paceWhileSaturated(ctx, d, worker, 1)
	Expect(d.Saw("the API's writes take as long as before", apart.String(), undisturbed(apart, idle))).To(Succeed())
	Expect(d.Told("no component is replaced, no lease is lost, and etcd elects nobody",
		errors.Join(plane.Replaced(ctx), plane.Deposed(d), plane.Elected(d)))).To(Succeed())

	// The control experiment.
	By("saturating the control plane's host with the same")
	giveCore(ctx, d, 0, worker)
	beside := paceWhileSaturated(ctx, d, worker, 0)
	Expect(d.Saw("on the control plane's core the same hog slows it down, more than before",
		beside.String()+alsoLost(ctx, d, plane), errors.Join(disturbed(beside, idle), disturbed(beside, apart)))).To(Succeed())

	giveCore(ctx, d, 1, worker)
	overload.End(d, hog)
	calmed(d, idle)
}

// needCores leaves a spec out on a machine whose cores cannot be divided so far.
func needCores(least int) {
	if has := runtime.NumCPU(); has < least {
		Skip(fmt.Sprintf("%v: hosts need cores of their own, at least %d in all, and this machine has %d", clusters.ErrUnsupported, least, has))
	}
}

// goHomeAfterwards gives nodes the cores of their hosts again when the spec is over.
func goHomeAfterwards(d *Drill, nodes ...*clusters.Node) {
	d.Afterwards(func(ctx context.Context, _ kubernetes.Interface) error {
		var errs []error
		for _, n := range nodes {
			errs = append(errs, d.Rehome(ctx, n.Host, n))
		}
		return errors.Join(errs...)
	})
}

// giveCore moves a node to a core.
func giveCore(ctx context.Context, d *Drill, core int, n *clusters.Node) {
	GinkgoHelper()
	Expect(n.MoveToCores(ctx, fmt.Sprint(core))).To(Succeed())
	out, err := n.Exec(ctx, "sed", "-n", `s/^Cpus_allowed_list:[[:space:]]*//p`, "/proc/1/status")
	Expect(err).NotTo(HaveOccurred())
	has := strings.TrimSpace(string(out))
	Expect(d.Saw(fmt.Sprintf("%s has core %d and no other", n.Role, core), "it has "+has, Unless(has == fmt.Sprint(core), nil))).To(Succeed())
}

// idlePace is how long writes take when nothing is wrong, which has to be known.
func idlePace(d *Drill) Pace {
	GinkgoHelper()
	pace := d.Pace(probe.Write)
	Expect(d.Saw("before all that the API answers writes", pace.String(), pace.Answered())).To(Succeed())
	return pace
}

// startHog starts a pod that takes all CPU time that there is. It has no limits, and asks for
// everything that its node has left: by that the kernel decides who waits for whom, and a
// pod that asks for nothing waits for everybody.
func startHog(ctx context.Context, d *Drill, n *clusters.Node) *corev1.Pod {
	GinkgoHelper()
	pod := overload.Hog(n, "saturating", nil, "-cpu")
	client, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	left, err := FreeCPU(ctx, client, n.Name)
	Expect(err).NotTo(HaveOccurred())
	pod.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: left}
	overload.StartBusy(d, n, pod)
	return pod
}

// paceWhileSaturated is how long writes take while somebody takes all the time of a core.
func paceWhileSaturated(ctx context.Context, d *Drill, n *clusters.Node, core int) Pace {
	GinkgoHelper()
	before := timesOf(ctx, n, core)
	pace := d.Pace(probe.Write)
	idle := timesOf(ctx, n, core).idleSince(before)
	Expect(d.Saw(fmt.Sprintf("core %d is saturated", core), fmt.Sprintf("it is idle for %.0f %% of the time", 100*idle), Unless(idle <= saturated, nil))).To(Succeed())
	return pace
}

// coreTimes are ticks of a core's time since this machine was started.
type coreTimes struct{ idle, all uint64 }

// timesOf asks any node: they share the kernel.
func timesOf(ctx context.Context, n *clusters.Node, core int) coreTimes {
	GinkgoHelper()
	out, err := n.Exec(ctx, "cat", "/proc/stat")
	Expect(err).NotTo(HaveOccurred())
	times, err := readTimes(string(out), core)
	Expect(err).NotTo(HaveOccurred())
	return times
}

// readTimes finds a core in /proc/stat: user, nice, system, idle, iowait, irq, softirq and steal.
// The guests' times behind those are in the first two already.
func readTimes(stat string, core int) (coreTimes, error) {
	for line := range strings.Lines(stat) {
		var ticks [8]uint64
		name := ""
		_, err := fmt.Sscan(line, &name, &ticks[0], &ticks[1], &ticks[2], &ticks[3], &ticks[4], &ticks[5], &ticks[6], &ticks[7])
		if err != nil || name != fmt.Sprintf("cpu%d", core) {
			continue
		}
		times := coreTimes{idle: ticks[3] + ticks[4]}
		for _, t := range ticks {
			times.all += t
		}
		return times, nil
	}
	return coreTimes{}, fmt.Errorf("the kernel knows no core %d", core)
}

// idleSince is the share of the time since then in which the core had nothing to do.
func (t coreTimes) idleSince(before coreTimes) float64 {
	return float64(t.idle-before.idle) / float64(max(1, t.all-before.all))
}

// undisturbed fails unless the slowest requests take about as long as at another pace.
func undisturbed(now, before Pace) error {
	_, p99 := now.Times(before)
	return errors.Join(now.Answered(), Unless(p99 <= tolerated, fmt.Errorf("p99 is %.1f times that of before (%s)", p99, before)))
}

// disturbed fails unless requests take longer than at another pace, by more than noise.
func disturbed(now, before Pace) error {
	median, p99 := now.Times(before)
	return Unless(max(median, p99) > noise, fmt.Errorf("the median is %.1f times and p99 %.1f times that of before (%s)", median, p99, before))
}

// alsoLost tells what a control plane has lost beside time, which nobody promises.
func alsoLost(ctx context.Context, d *Drill, plane overload.Plane) string {
	if err := errors.Join(plane.Replaced(ctx), plane.Deposed(d), plane.Elected(d)); err != nil {
		return "; " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return "; no component is replaced, no lease is lost, and etcd elects nobody"
}

// calmed expects writes to take as long as in the beginning.
func calmed(d *Drill, idle Pace) {
	GinkgoHelper()
	after := d.Pace(probe.Write)
	Expect(d.Saw("afterwards the API's writes take as long as before", after.String(), undisturbed(after, idle))).To(Succeed())
}
