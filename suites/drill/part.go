package drill

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"faultline/clusters"
	"faultline/reports/record"
	"faultline/suites/probe"
)

// partProof is how many samples tell what part of requests fails.
const partProof = 60

// LosePart expects a part of the requests of a probe to fail, from the latest landing until
// the next fault or undo: those that a service leads to a dead pod, say, one in two where
// there were two. Chance decides for each request, so what counts is whether as many fail
// as chance can bring about, four standard deviations either way.
func LosePart(name probe.Name, share float64) *expectation {
	look := func(ctx context.Context, d *Drill, e *expectation, t *probe.Timeline) finding {
		return lookPart(ctx, d, e, t, share)
	}
	return &expectation{verb: fmt.Sprintf("lose %.0f %% of", 100*share), name: name, look: look}
}

func lookPart(ctx context.Context, d *Drill, e *expectation, t *probe.Timeline, share float64) finding {
	// A loss may take as long to show as any other.
	from := d.changed() + e.bounds.Upper
	await(ctx, func() bool {
		taken, _ := t.Taken(from, d.now())
		return taken >= partProof
	})
	check := func(until time.Duration) error { return judgePart(t, from, until, share) }
	if err := check(d.now()); err != nil {
		return finding{false, err.Error(), nil}
	}
	d.promise(fmt.Sprintf("%.0f %% of %s stay lost", 100*share, t), check)
	now := d.now()
	taken, _ := t.Taken(from, now)
	return finding{true, fmt.Sprintf("%.0f %% of %d requests fail (%s)", 100*(1-t.SuccessRatio(from, now)), taken, waysText(t.Ways(from, now))), nil}
}

// LostInPart fails unless, while requests of a probe from pods on these nodes failed after the fault,
// others succeeded.
func (d *Drill) LostInPart(name probe.Name, nodes ...*clusters.Node) error {
	var vantages []string
	for _, n := range nodes {
		vantages = append(vantages, probe.InCluster(n.Name))
	}
	var errs []error
	for _, t := range d.timelines(name, vantages) {
		if served, failed := amongFailures(t.Samples(d.landed(), d.now())); served == 0 && failed > 0 {
			errs = append(errs, fmt.Errorf("%s: %d requests failed in a row", t, failed))
		}
	}
	return d.Told(fmt.Sprintf("meanwhile a part of %s is served", name), errors.Join(errs...))
}

// amongFailures counts the successes between the first failure and the last, and the failures.
func amongFailures(samples []probe.Sample) (served, failed int) {
	since := 0
	for _, s := range samples {
		switch {
		case s.Down() && !s.Blind:
			served, since = served+since, 0
			failed++
		case s.Way == record.Up && failed > 0:
			since++
		}
	}
	return served, failed
}

func judgePart(t *probe.Timeline, from, until time.Duration, share float64) error {
	n, _ := t.Taken(from, until)
	lost := 1 - t.SuccessRatio(from, until)
	chance := 4 * math.Sqrt(share*(1-share)/float64(max(n, 1)))
	if math.Abs(lost-share) > chance {
		return fmt.Errorf("%.0f %% of %d requests failed, want %.0f %% to %.0f %% (%s)",
			100*lost, n, 100*(share-chance), 100*(share+chance), waysText(t.Ways(from, until)))
	}
	return nil
}
