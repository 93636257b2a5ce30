package gameday

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
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

// adopted is a day on a cluster that plain kind has made, reached over pods. Its probes do not
// run yet.
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

// probe starts the probes.
func (d *Day) probe(t *testing.T) {
	t.Helper()
	if err := d.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
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

// TestAborts measures how long it takes from an abort to the last undo, over pods.
func TestAborts(t *testing.T) {
	clustertest.NeedFull(t)
	d := adopted(t)
	d.probe(t)
	scheduler := d.cluster.Instances(clusters.Scheduler)[2]
	var took []time.Duration
	for range aborts {
		took = append(took, d.abortOnce(t, scheduler))
	}
	slices.Sort(took)
	t.Logf("%d aborts: undone after p50 %s, p99 %s, at most %s", len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
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
