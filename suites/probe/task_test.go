package probe

import (
	"net/http"
	"testing"
	"time"

	"faultline/reports/record"
)

// tasks runs a tasker on a fake API until the test ends.
func tasks(t *testing.T, api *fakeAPI, make func(door) (task, error)) (*tasker, *Timeline) {
	t.Helper()
	work, err := make(doorOf("n1", serve(t, api)))
	if err != nil {
		t.Fatal(err)
	}
	clock := NewClock()
	k := &tasker{clock: clock, task: work, timeout: time.Second, done: NewTimeline(Schedule, "n1", taskPause)}
	s := &sampler{clock: clock, timeline: NewTimeline(Schedule, "n1", 20*ms), timeout: time.Second, late: time.Second, inFlight: 40, take: k.take}
	set := &Set{clock: clock, opts: Options{Interval: 20 * ms}, samplers: []*sampler{s}, taskers: []*tasker{k}, ledger: newLedger("x")}
	set.launch(t.Context())
	t.Cleanup(func() { set.halt(t.Context()) })
	return k, s.timeline
}

func schedulingAt(d door) (task, error)  { return newScheduling(d, "x", "id", time.Second) }
func reconcilingAt(d door) (task, error) { return newReconciling(d, "x", "id", time.Second) }

// A component that stops leaves its task pending, and is up again with the
// first task that it does.
func testTask(t *testing.T, make func(door) (task, error), works func(*fakeAPI, bool)) {
	api := newFakeAPI()
	k, line := tasks(t, api, make)
	eventually(t, "two tasks", func() bool { return k.done.Up(0, time.Hour) >= 2 })
	set := func(on bool) time.Duration {
		defer api.lock()()
		works(api, on)
		return k.clock.Now()
	}
	stopped := set(false)
	eventually(t, "pending", func() bool { return line.Ways(stopped, time.Hour)[record.Pending] > 5 })
	if s, _ := line.FirstDown(stopped); s.At < stopped+taskGrace-2*taskPause {
		t.Errorf("down %v after the stop, want the grace first", s.At-stopped)
	}
	resumed := set(true)
	eventually(t, "up", func() bool { _, up := line.FirstUp(resumed); return up })
	done, ok := k.done.FirstUp(0)
	for ok && done.Done() < resumed {
		done, ok = k.done.FirstUp(done.At + 1)
	}
	if !ok || done.Done()-resumed > 500*ms {
		t.Errorf("completed %v after the return (%v), want it within a poll", done.Done()-resumed, ok)
	}
	gap := k.done.LongestOutage(stopped-600*ms, k.clock.Now())
	if gap < resumed-stopped-10*ms || gap > resumed-stopped+1500*ms {
		t.Errorf("gap of %v between completions, want about %v", gap, resumed-stopped)
	}
}

func TestScheduleTellsWhenNobodyBinds(t *testing.T) {
	testTask(t, schedulingAt, func(f *fakeAPI, on bool) { f.bind = on })
}

func TestReconcileTellsWhenNobodyObserves(t *testing.T) {
	testTask(t, reconcilingAt, func(f *fakeAPI, on bool) { f.reconciling = on })
}

func TestTaskFailsAsTheAPIDoes(t *testing.T) {
	api := newFakeAPI()
	k, line := tasks(t, api, schedulingAt)
	eventually(t, "a task", func() bool { return k.done.Up(0, time.Hour) >= 1 })
	unlock := api.lock()
	api.answer = func(w http.ResponseWriter, _ *http.Request) bool {
		status(w, http.StatusInternalServerError, "etcdserver: no leader")
		return true
	}
	unlock()
	eventually(t, "the API's failure", func() bool { return line.Ways(0, time.Hour)[record.EtcdError] > 5 })
	unlock = api.lock()
	api.answer = nil
	api.bind = false
	restored := k.clock.Now()
	unlock()
	eventually(t, "pending", func() bool { return line.Ways(restored, time.Hour)[record.Pending] > 5 })
	if s, up := line.FirstUp(restored); up {
		t.Errorf("up %v after the API's return, though nothing was bound", s.At-restored)
	}
	unlock = api.lock()
	api.bind = true
	unlock()
	n := k.done.Up(0, time.Hour)
	eventually(t, "another task", func() bool { return k.done.Up(0, time.Hour) > n })
}

func TestAVanishedPodIsAskedForAnew(t *testing.T) {
	api := newFakeAPI()
	api.bind = false
	k, _ := tasks(t, api, schedulingAt)
	eventually(t, "a pod", func() bool { defer api.lock()(); return len(api.pods) == 1 })
	eventually(t, "its acceptance", func() bool { k.mu.Lock(); defer k.mu.Unlock(); return k.accepted })
	unlock := api.lock()
	clear(api.pods)
	api.bind = true
	unlock()
	eventually(t, "another pod", func() bool { return k.done.Up(0, time.Hour) > 0 })
}

func TestAChangeThatARestoreTookBackIsAskedForAnew(t *testing.T) {
	api := newFakeAPI()
	api.reconciling = false
	k, _ := tasks(t, api, reconcilingAt)
	eventually(t, "its acceptance", func() bool { k.mu.Lock(); defer k.mu.Unlock(); return k.accepted })
	unlock := api.lock()
	api.history, api.generation = 0, api.observed
	api.reconciling = true
	unlock()
	eventually(t, "another change", func() bool { return k.done.Up(0, time.Hour) > 0 })
}

func TestBoundPodsAreDeleted(t *testing.T) {
	api := newFakeAPI()
	k, _ := tasks(t, api, schedulingAt)
	eventually(t, "three tasks", func() bool { return k.done.Up(0, time.Hour) >= 3 })
	eventually(t, "the deletions", func() bool { defer api.lock()(); return len(api.pods) <= 1 })
}
