package drill

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"faultline/clusters"
	"faultline/reports/record"
	"faultline/suites/probe"
)

// lossProof is how long a loss must last before it counts: a blip is not a loss.
const lossProof = 3 * time.Second

// A probe counts as resumed after resumeSamples successes in a row, and between the two times.
// Where chance leads a request to a live pod or a dead one, as many are a loss in a million.
const (
	resumeSamples = 20
	leastResume   = time.Second
	mostResume    = 4 * time.Second
)

// resumeProof is how long a probe must stay green before it counts as resumed.
func resumeProof(t *probe.Timeline) time.Duration {
	return min(max(resumeSamples*t.Interval(), leastResume), mostResume)
}

// answered is how old a request is when it is known what became of it and of all before it:
// its time-out, and half of that again for a busy machine.
const answered = probe.DefaultTimeout * 3 / 2

// patience is added to an upper bound before a matcher stops waiting: the
// measured figure of something late is worth more than "not within".
const patience = 5 * time.Second

// Lose expects every request of the probe that is sent after the bound to
// fail, from then on until the next fault or undo. The bound counts from the latest
// landing or, when a fault has been undone since and others are left, from that undo.
func Lose(name probe.Name) *expectation {
	return &expectation{verb: "lose", name: name, look: lookLost}
}

func lookLost(ctx context.Context, d *Drill, e *expectation, t *probe.Timeline) finding {
	reference := d.changed()
	deadline := reference + e.bounds.Upper + lossProof
	lastUp := reference
	await(ctx, func() bool {
		if up, ok := t.LastSuccess(); ok {
			lastUp = max(up.At, reference)
		}
		return d.now()-lastUp >= lossProof || d.now() > deadline
	})
	lost := lastUp - reference
	ways := t.Ways(lastUp+1, d.now())
	if d.now()-lastUp < lossProof {
		return finding{false, fmt.Sprintf("it still succeeded %s after the fault", seconds(lost)), &lost}
	}
	if t.Seen(lastUp+1, d.now()) == 0 {
		return finding{false, "nobody knows: the vantage point itself is lost (" + waysText(ways) + ")", nil}
	}
	for way := range ways {
		if len(e.ways) > 0 && way != record.Starved && !slices.Contains(e.ways, way) {
			return finding{false, "it was lost in another way: " + waysText(ways), &lost}
		}
	}
	d.promise(fmt.Sprintf("%s stays lost", t), func(until time.Duration) error {
		if up, ok := t.FirstUp(lastUp + 1); ok && up.At < until {
			return fmt.Errorf("it succeeded %s after the fault", seconds(up.At-reference))
		}
		return nil
	})
	return e.judge(lost, fmt.Sprintf("lost after %s (%s)", seconds(lost), waysText(ways)))
}

// KeepServing expects no interruption, from the fault until it is undone, or for
// a given time.
func KeepServing(name probe.Name) *expectation {
	return &expectation{verb: "keep serving", name: name, look: lookKept}
}

// keepFor is the least time over which a promise of service is examined.
const keepFor = 3 * time.Second

func lookKept(ctx context.Context, d *Drill, e *expectation, t *probe.Timeline) finding {
	reference := d.injected()
	tolerance := d.tolerance(t)
	await(ctx, func() bool { return d.now()-reference >= max(keepFor, e.duration) })
	check := func(until time.Duration) error { return kept(t, reference, until, tolerance) }
	if err := check(d.now()); err != nil {
		return finding{false, err.Error(), nil}
	}
	if e.duration == 0 {
		d.promise(fmt.Sprintf("%s is kept", t), check)
	}
	return finding{true, fmt.Sprintf("no gap over %s in %s (%s)", seconds(tolerance), seconds(d.now()-reference), waysText(t.Ways(reference, d.now()))), nil}
}

// keptShare is the share of requests that may fail while a service is kept, beside one gap that is
// no interruption: a client tries again (claim LB-07).
const keptShare = 0.03

// kept fails where a probe was interrupted, or where too many of its requests failed between
// others that succeeded.
func kept(t *probe.Timeline, from, until, tolerance time.Duration) error {
	ways := waysText(t.Ways(from, until))
	if gap := t.LongestOutage(from, until); gap > tolerance {
		return fmt.Errorf("it was interrupted for %s (%s)", seconds(gap), ways)
	}
	taken, _ := t.Taken(from, until)
	most := int(keptShare*float64(taken)) + int(tolerance/t.Interval())
	if failed := t.Down(from, until); failed > most {
		return fmt.Errorf("%d of %d requests failed, and %d may (%s)", failed, taken, most, ways)
	}
	return nil
}

// tolerance is the longest time without a success that is no interruption: the
// probe's own rhythm and time-out, with slack for a busy machine.
func (d *Drill) tolerance(t *probe.Timeline) time.Duration {
	return time.Duration(d.Timing.Slack * float64(t.Interval()+probe.DefaultTimeout))
}

// Resume expects the probe to be green again, to stay so, and measures when: from the
// undo, from the begin of a repair, or from the landing of a fault that is not undone.
func Resume(name probe.Name) *expectation {
	return &expectation{verb: "resume", name: name, recovery: true, look: func(ctx context.Context, d *Drill, e *expectation, t *probe.Timeline) finding {
		return lookResumed(ctx, d, e, t, d.changed())
	}}
}

// Pause expects the probe to be green again while the fault still holds or has
// mended itself, and to stay so, and measures the whole pause from the fault on. Restricted to
// ways to be down, it does not take a failure in another way for the pause.
func Pause(name probe.Name) *expectation {
	return &expectation{verb: "pause", name: name, recovery: true, look: func(ctx context.Context, d *Drill, e *expectation, t *probe.Timeline) finding {
		found := lookResumed(ctx, d, e, t, d.injected())
		if since := d.now() - answered; found.ok {
			d.promise(fmt.Sprintf("%s stays green", t), func(until time.Duration) error { return kept(t, since, until, d.tolerance(t)) })
		}
		return found
	}}
}

// VisiblyPause is Pause that fails when no request failed at all.
func VisiblyPause(name probe.Name) *expectation {
	e := Pause(name)
	e.verb = "visibly pause"
	look := e.look
	e.look = func(ctx context.Context, d *Drill, e *expectation, t *probe.Timeline) finding {
		found := look(ctx, d, e, t)
		if _, down := t.FirstDown(d.injected(), e.ways...); found.ok && !down {
			return finding{false, "no request failed", found.seconds}
		}
		return found
	}
	return e
}

// showTime is how long a loss may take to show before it counts as none: what
// is accepted and not acted upon is called pending only after a while. Where a
// pause has a lower bound, it may take as long as that.
const showTime = 4 * time.Second

func lookResumed(ctx context.Context, d *Drill, e *expectation, t *probe.Timeline, reference time.Duration) finding {
	var measured time.Duration
	var resumed bool
	await(ctx, func() bool {
		down, lost := t.FirstDown(reference, e.ways...)
		if !lost {
			resumed = d.now() > max(max(reference, d.landed())+showTime, reference+e.bounds.Lower) && t.Up(d.now()-showTime, d.now()) > 0
		} else if up, ok := resumedForGood(t, down.At, d.now()-answered, d.tolerance(t)); ok {
			measured, resumed = up.Done()-reference, true
		}
		return resumed || d.now() > reference+e.bounds.Upper+patience
	})
	ways := t.Ways(reference, d.now())
	if !resumed {
		waited := d.now() - reference
		return finding{false, fmt.Sprintf("it had not resumed after %s (%s)", seconds(waited), waysText(ways)), &waited}
	}
	return e.judge(measured, fmt.Sprintf("%s after %s (%s)", pastOf(e.verb), seconds(measured), waysText(ways)))
}

// resumedForGood is the first success after a failure since when the probe was not interrupted any
// more: a pause that comes back is one pause.
func resumedForGood(t *probe.Timeline, down, to, tolerance time.Duration) (probe.Sample, bool) {
	for {
		up, ok := t.Resumed(down, to, resumeProof(t))
		if !ok || kept(t, up.Done(), to, tolerance) == nil {
			return up, ok
		}
		next, again := t.FirstDown(up.At)
		if !again {
			return up, true
		}
		down = next.At
	}
}

func pastOf(verb string) string {
	if strings.Contains(verb, "pause") {
		return "green again"
	}
	return "resumed"
}

// waysText lists how samples went, most frequent first.
func waysText(ways map[record.Way]int) string {
	if len(ways) == 0 {
		return "no samples"
	}
	var list []record.Way
	for way := range ways {
		list = append(list, way)
	}
	slices.SortFunc(list, func(a, b record.Way) int { return ways[b] - ways[a] })
	var words []string
	for _, way := range list {
		words = append(words, fmt.Sprintf("%d %s", ways[way], way))
	}
	return strings.Join(words, ", ")
}

// await polls until done says so or ctx ends.
func await(ctx context.Context, done func() bool) {
	_ = clusters.Await(ctx, 25*time.Millisecond, "samples", func(context.Context) error {
		if done() {
			return nil
		}
		return context.Canceled
	})
}
