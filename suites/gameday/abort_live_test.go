package gameday

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"faultline/clusters"
	"faultline/clusters/clustertest"
	"faultline/clusters/existing"
	"faultline/fault"
	"faultline/suites/gameday/page"
	"faultline/suites/gameday/plan"
	"faultline/suites/gameday/stop"
)

func TestMain(m *testing.M) { os.Exit(clustertest.Main(context.Background(), m)) }

// aborts is how many aborts are measured.
const aborts = 50

// adopted is a day on a cluster that plain kind has made, reached over pods.
func adopted(t *testing.T) *Day {
	t.Helper()
	target, err := existing.Open(clustertest.NewPlain(t))
	if err != nil {
		t.Fatal(err)
	}
	found, err := target.Discover(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	shell, err := existing.NewPods(target, found).Open(t.Context(), "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	found.Cluster.Reach(shell)
	journal, err := fault.OpenJournal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d := &Day{
		Options: Options{
			Planning: Planning{Target: target, Found: found, Pods: true}, Journal: journal, Interval: 500 * time.Millisecond,
			Plan: plan.Plan{Stop: stop.Limits{}.Filled()},
		},
		cluster: found.Cluster, injector: fault.NewInjector(found.Cluster, journal),
	}
	d.renew(t)
	if err := d.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := d.withdraw(ctx); err != nil {
			t.Error(err)
		}
		if err := clusters.RemoveNamespaces(ctx, target.Client(), existing.Namespace); err != nil {
			t.Error(err)
		}
	})
	return d
}

// renew begins the day anew, after an abort has ended it.
func (d *Day) renew(t *testing.T) context.Context {
	t.Helper()
	ctx, abort := context.WithCancelCause(t.Context())
	t.Cleanup(func() { abort(nil) })
	d.state = newState(d.cluster.Name, "", abort)
	d.terminal = newTerminal(d.state, strings.NewReader(""), io.Discard)
	return ctx
}

// TestAborts measures how long it takes from an abort to the last undo, over pods, and what
// the probes cost meanwhile.
func TestAborts(t *testing.T) {
	clustertest.NeedFull(t)
	d := adopted(t)
	scheduler := d.cluster.Instances(clusters.Scheduler)[2]
	began, cpu := time.Now(), ownCPU(t)
	var took []time.Duration
	for range aborts {
		took = append(took, d.abortOnce(t, scheduler))
	}
	elapsed := time.Since(began).Seconds()
	requests := 0
	for _, line := range d.probes.Timelines() {
		requests += len(line.Samples(0, d.watch.now()))
	}
	slices.Sort(took)
	t.Logf("%d aborts: undone after p50 %s, p99 %s, at most %s", len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	t.Logf("probes: %.1f requests a second, %.3f cores", float64(requests)/elapsed, (ownCPU(t)-cpu).Seconds()/elapsed)
}

// abortOnce pauses a scheduler and aborts in the middle. What is paused comes back at once;
// what is killed again and again would have to wait for the kubelet's back-off.
func (d *Day) abortOnce(t *testing.T, i clusters.Instance) time.Duration {
	t.Helper()
	ctx := d.renew(t)
	r := &run{Day: d, Experiment: plan.Experiment{Name: "scheduler", Hold: plan.Duration(time.Minute)}, hit: hit{fault: fault.Pause(i)}, began: d.watch.now()}
	r.announce()
	done := make(chan error, 1)
	go func() { done <- r.carryOut(ctx) }()
	err := clusters.Await(t.Context(), 10*time.Millisecond, "the fault", func(context.Context) error {
		if d.state.snapshot().Phase != page.Holding {
			return io.ErrNoProgress
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	d.state.Abort("measured")
	if err := <-done; r.unwell != nil || !strings.Contains(err.Error(), "measured") {
		t.Fatalf("the experiment ended with %v, the cluster %v", err, r.unwell)
	}
	at, _ := d.state.abortedAt()
	return d.undone.Sub(at)
}

// ownCPU is the time that this process has used of its cores.
func ownCPU(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
