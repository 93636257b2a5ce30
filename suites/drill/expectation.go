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

// expectation is a matcher on a drill: a sentence about what a kind of probe
// sees, at some or all vantage points, within bounds.
type expectation struct {
	verb     string
	name     probe.Name
	vantages []string
	ways     []record.Way
	bounds   clusters.Bounds
	duration time.Duration
	recovery bool
	// look examines one timeline until it can tell.
	look func(ctx context.Context, d *Drill, e *expectation, t *probe.Timeline) finding

	problem string
}

// finding is what an expectation saw on one timeline.
type finding struct {
	ok       bool
	observed string
	seconds  *time.Duration
}

// Through restricts the expectation to the vantage points of these endpoints.
func (e *expectation) Through(endpoints ...clusters.Endpoint) *expectation {
	for _, p := range endpoints {
		e.vantages = append(e.vantages, p.Name)
	}
	return e
}

// On restricts the expectation to these nodes' vantage points.
func (e *expectation) On(nodes ...*clusters.Node) *expectation {
	for _, n := range nodes {
		e.vantages = append(e.vantages, n.Name)
	}
	return e
}

// InCluster restricts the expectation to the pods on these nodes as vantage points.
func (e *expectation) InCluster(nodes ...*clusters.Node) *expectation {
	for _, n := range nodes {
		e.vantages = append(e.vantages, probe.InCluster(n.Name))
	}
	return e
}

// Within bounds the measured duration on both sides.
func (e *expectation) Within(b clusters.Bounds) *expectation {
	e.bounds = b
	return e
}

// For limits a promise of service to a time.
func (e *expectation) For(duration time.Duration) *expectation {
	e.duration = duration
	return e
}

// As restricts the ways to be down.
func (e *expectation) As(ways ...record.Way) *expectation {
	e.ways = ways
	return e
}

// Match implements Gomega's matcher. It waits for as long as the bounds allow,
// and puts every finding into the record.
func (e *expectation) Match(actual any) (bool, error) {
	d, ok := actual.(*Drill)
	if !ok {
		return false, fmt.Errorf("this matcher is about a *drill.Drill, not %T", actual)
	}
	timelines := d.timelines(e.name, e.vantages)
	if len(timelines) == 0 {
		return false, fmt.Errorf("there is no probe %s through %v", e.name, e.vantages)
	}
	d.step.Update("expecting to " + e.sentence())
	var problems []string
	for _, t := range timelines {
		found := e.look(d.ctx, d, e, t)
		d.observe(e.observation(t, found))
		if !found.ok {
			problems = append(problems, fmt.Sprintf("through %s: %s", t.Vantage(), found.observed))
		}
	}
	e.problem = strings.Join(problems, "\n")
	return len(problems) == 0, d.ctx.Err()
}

// FailureMessage implements Gomega's matcher.
func (e *expectation) FailureMessage(any) string {
	return fmt.Sprintf("expected the cluster to %s, but\n%s", e.sentence(), e.problem)
}

// NegatedFailureMessage implements Gomega's matcher.
func (e *expectation) NegatedFailureMessage(any) string {
	return fmt.Sprintf("expected the cluster not to %s, but it did", e.sentence())
}

func (e *expectation) sentence() string {
	text := e.verb + " " + string(e.name)
	if len(e.ways) > 0 {
		text += fmt.Sprintf(" as %v", e.ways)
	}
	switch {
	case e.bounds.Lower > 0:
		text += fmt.Sprintf(" after %s to %s", seconds(e.bounds.Lower), seconds(e.bounds.Upper))
	case e.bounds.Upper > 0:
		text += " within " + seconds(e.bounds.Upper)
	}
	return text
}

func (e *expectation) observation(t *probe.Timeline, found finding) record.Observation {
	o := record.Observation{
		Expected: e.sentence() + " (" + t.Vantage() + ")",
		Observed: found.observed, OK: found.ok, Recovery: e.recovery,
	}
	if found.seconds != nil {
		o.Seconds = floatOf(*found.seconds)
		o.Upper = floatOf(e.bounds.Upper)
		if e.bounds.Lower > 0 {
			o.Lower = floatOf(e.bounds.Lower)
		}
	}
	return o
}

// judge compares a measured duration with the bounds.
func (e *expectation) judge(measured time.Duration, observed string) finding {
	switch {
	case measured < e.bounds.Lower:
		return finding{false, fmt.Sprintf("%s, sooner than %s allows", observed, seconds(e.bounds.Lower)), &measured}
	case measured > e.bounds.Upper:
		return finding{false, fmt.Sprintf("%s, later than %s", observed, seconds(e.bounds.Upper)), &measured}
	}
	return finding{true, observed, &measured}
}

// timelines selects the probes of a name, at all or some vantage points.
func (d *Drill) timelines(name probe.Name, vantages []string) []*probe.Timeline {
	return slices.DeleteFunc(slices.Clone(d.probes.Timelines()), func(t *probe.Timeline) bool {
		return t.Name() != name || len(vantages) > 0 && !slices.Contains(vantages, t.Vantage())
	})
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func floatOf(d time.Duration) *float64 {
	s := d.Seconds()
	return &s
}
