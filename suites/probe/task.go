package probe

import (
	"context"
	"net/http"
	"sync"
	"time"

	"faultline/reports/record"
)

const (
	// taskPause is the least time between the beginnings of two tasks. One costs
	// the control plane as much as dozens of requests.
	taskPause = 2 * time.Second
	// taskGrace is how long a task may wait before it counts as pending.
	taskGrace = time.Second
)

// task is work that the API accepts and a component behind it has to do. Its
// methods are called by several samples at once.
type task interface {
	// begin asks for work number n. Asking twice for the same number asks once.
	begin(ctx context.Context, n int) (accepted bool, o outcome)
	// poll tells whether work number n is done.
	poll(ctx context.Context, n int) (done bool, o outcome)
	// finish cleans up after the work; its failure matters to nobody.
	finish(ctx context.Context, n int)
}

// tasker keeps one task outstanding. A sample is up when the task is done or
// within its normal time after one that was done, pending when it has waited
// longer, and what the API is when the API does not answer. After a failure of
// any way it is up again only with the next task that is done.
type tasker struct {
	clock Clock
	task  task
	// done has one sample for every completed task, from its beginning to its
	// completion: the gap between completions is the gap in the component's work.
	done *Timeline
	// cleaning are the clean-ups under way.
	cleaning sync.WaitGroup
	timeout  time.Duration

	mu       sync.Mutex
	number   int
	open     bool // the task is outstanding
	asking   bool // a sample is asking for it now
	accepted bool
	started  time.Duration // first asked for
	begun    time.Duration // accepted, or first asked for until then
	healthy  bool          // nothing failed since a task was done
}

// step is what one sample has to do.
type step int

const (
	rest step = iota
	ask
	poll
)

func (t *tasker) take(ctx context.Context) outcome {
	next, number := t.next()
	switch next {
	case ask:
		return t.ask(ctx, number)
	case poll:
		return t.poll(ctx, number)
	default:
		return outcome{way: record.Up, instant: true}
	}
}

// next decides what this sample does.
func (t *tasker) next() (step, int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	if !t.open {
		if t.number > 0 && now-t.started < taskPause {
			return rest, t.number
		}
		t.number++
		t.open, t.accepted, t.started, t.begun = true, false, now, now
	}
	if t.accepted || t.asking {
		return poll, t.number
	}
	t.asking = true
	return ask, t.number
}

func (t *tasker) ask(ctx context.Context, number int) outcome {
	accepted, o := t.task.begin(ctx, number)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asking = false
	if accepted && !t.accepted && t.number == number {
		t.accepted, t.begun = true, t.clock.Now()
	}
	return t.judge(o)
}

func (t *tasker) poll(ctx context.Context, number int) outcome {
	done, o := t.task.poll(ctx, number)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.number != number || !t.open {
		// Another sample saw it done while this one was under way.
		return o
	}
	switch {
	case done:
		t.complete(ctx)
		return up
	case o.gone && t.accepted:
		t.open = false // ask for another
	case o.gone:
		o = up // the request for it is still under way
	}
	return t.judge(o)
}

// judge turns an API that answers into work that waits: at once when the
// component has not proven to work since its last failure, else after the grace.
// The caller holds the lock.
func (t *tasker) judge(o outcome) outcome {
	if o.way == record.Up && (!t.healthy || t.clock.Now()-t.begun > taskGrace) {
		o = outcome{way: record.Pending, detail: "accepted and not acted upon"}
		if !t.accepted {
			o.detail = "not accepted yet"
		}
	}
	t.healthy = o.way == record.Up
	return o
}

// complete takes down that the task is done. The caller holds the lock.
func (t *tasker) complete(ctx context.Context) {
	t.open, t.healthy = false, true
	t.done.Add(Sample{At: t.started, Latency: t.clock.Now() - t.started, Way: record.Up})
	number := t.number
	t.cleaning.Go(func() {
		// The sample's own time ends with it; the clean-up has as much again.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.timeout)
		defer cancel()
		t.task.finish(ctx, number)
	})
}

// accepts judges the answer to a request for work: that it exists already is
// what an earlier try without an answer left.
func accepts(a answer) (bool, outcome) {
	if a.status == http.StatusConflict {
		return true, up
	}
	o := a.outcome()
	return o.way == record.Up, o
}
