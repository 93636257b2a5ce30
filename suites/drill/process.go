package drill

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/reports/record"
)

// Exits are the ends of processes, seen as they happen.
type Exits struct {
	mu    sync.Mutex
	ended map[clusters.Instance]time.Duration
}

// ExitPoll is how often a node is asked whether a process is still there: so much later
// than it was may an end be seen.
const ExitPoll = 250 * time.Millisecond

// WatchExits notes from now on when the processes that the instances have end.
func (d *Drill) WatchExits(instances ...clusters.Instance) *Exits {
	ginkgo.GinkgoHelper()
	exits := &Exits{ended: map[clusters.Instance]time.Duration{}}
	for _, i := range instances {
		before, err := i.Process(d.ctx)
		d.require(err, "no process of "+i.String())
		go exits.watch(d, i, before)
	}
	return exits
}

// watch ends with the process or with the spec.
func (e *Exits) watch(d *Drill, i clusters.Instance, before clusters.Process) {
	err := clusters.Await(d.ctx, ExitPoll, "the end of "+i.String(), func(ctx context.Context) error {
		p, err := i.Process(ctx)
		switch {
		case errors.Is(err, clusters.ErrNoProcess):
			return nil
		case err != nil:
			return err
		case p.Is(before):
			return fmt.Errorf("PID %d still runs", p.PID)
		}
		return nil
	})
	if err == nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.ended[i] = d.now()
	}
}

// Unreplaced fails unless an instance has the process that it had before. what says so in
// the record.
func (d *Drill) Unreplaced(what string, i clusters.Instance, before clusters.Process) error {
	now, err := i.Process(d.ctx)
	return d.Told(what, Unless(err == nil && now.Is(before), err))
}

// Ended waits until the watched process of an instance has ended, and returns when that
// was seen, since the experiment began.
func (d *Drill) Ended(i clusters.Instance, exits *Exits, limit time.Duration) time.Duration {
	ginkgo.GinkgoHelper()
	var at time.Duration
	var ended bool
	end := d.now() + limit
	d.expects(fmt.Sprintf("the process of %s ends within %s", i, seconds(limit)))
	await(d.ctx, func() bool {
		at, ended = exits.of(i)
		return ended || d.now() > end
	})
	gomega.Expect(ended).To(gomega.BeTrue(), "the process of %s has not ended within %s", i, limit)
	return at
}

// FromEndOf moves bounds on what the end of a watched process causes, for expectations that count
// from the fault: what the kubelet takes to end it is not theirs.
func (d *Drill) FromEndOf(i clusters.Instance, exits *Exits, b clusters.Bounds) clusters.Bounds {
	ginkgo.GinkgoHelper()
	took := d.Ended(i, exits, d.Timing.StaticPodReturn().Upper) - d.injected()
	return clusters.Bounds{Lower: took + b.Lower, Upper: took + b.Upper}
}

func (e *Exits) of(i clusters.Instance) (at time.Duration, ended bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	at, ended = e.ended[i]
	return at, ended
}

// exitExpectation is a matcher on a drill: a process ends by itself or by its kubelet.
type exitExpectation struct {
	instance clusters.Instance
	exits    *Exits
	bounds   clusters.Bounds
	problem  string
	// does is the end in a word, and from what it is measured from.
	does, from string
	since      func(*Drill) (time.Duration, error)
}

// GiveUp expects the watched process of a leader to end, and measures when, from
// the last renewal of its lease on.
func GiveUp(i clusters.Instance, exits *Exits) *exitExpectation {
	return &exitExpectation{instance: i, exits: exits, does: "gives up", from: "its last renewal", since: func(d *Drill) (time.Duration, error) {
		renewed, ok := d.probes.Leases().Renewed(i.Component)
		if !ok {
			return 0, fmt.Errorf("the lease of %s was never seen", i.Component)
		}
		return renewed, nil
	}}
}

// SeeTheEndOf expects the watched process of an instance to end, and measures when, from the fault on.
func SeeTheEndOf(i clusters.Instance, exits *Exits) *exitExpectation {
	return &exitExpectation{instance: i, exits: exits, does: "ends", from: "the fault", since: func(d *Drill) (time.Duration, error) {
		return d.injected(), nil
	}}
}

// Within bounds the measured duration on both sides.
func (e *exitExpectation) Within(b clusters.Bounds) *exitExpectation {
	e.bounds = b
	return e
}

// Match implements Gomega's matcher.
func (e *exitExpectation) Match(actual any) (bool, error) {
	d, ok := actual.(*Drill)
	if !ok {
		return false, fmt.Errorf("this matcher is about a *drill.Drill, not %T", actual)
	}
	since, err := e.since(d)
	if err != nil {
		return false, err
	}
	o := record.Observation{
		Expected: fmt.Sprintf("%s %s %s to %s after %s", e.instance.Component, e.does, seconds(e.bounds.Lower), seconds(e.bounds.Upper), e.from),
		Lower:    floatOf(e.bounds.Lower), Upper: floatOf(e.bounds.Upper),
	}
	d.expects(o.Expected)
	var at time.Duration
	var ended bool
	await(d.ctx, func() bool {
		at, ended = e.exits.of(e.instance)
		return ended || d.now() > since+e.bounds.Upper+patience
	})
	measured := at - since
	o.Observed, o.Seconds = "its process ended after "+seconds(measured), floatOf(measured)
	o.OK = ended && measured >= e.bounds.Lower && measured <= e.bounds.Upper
	if !ended {
		o.Observed, o.Seconds = fmt.Sprintf("it still ran %s after %s", seconds(d.now()-since), e.from), nil
	}
	d.observe(o)
	e.problem = o.Expected + ", but: " + o.Observed
	return o.OK, d.ctx.Err()
}

// FailureMessage implements Gomega's matcher.
func (e *exitExpectation) FailureMessage(any) string { return "expected that " + e.problem }

// NegatedFailureMessage implements Gomega's matcher.
func (e *exitExpectation) NegatedFailureMessage(any) string {
	return "expected that " + e.instance.String() + " goes on"
}
