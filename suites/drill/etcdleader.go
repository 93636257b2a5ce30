package drill

import (
	"fmt"
	"time"

	"faultline/clusters"
	"faultline/reports/record"
	"faultline/suites/probe"
)

// electionExpectation is a matcher on a drill: etcd elects in a higher term.
type electionExpectation struct {
	bounds  clusters.Bounds
	problem string
}

// ElectEtcdLeader expects a leader of etcd in a higher term than before the
// fault, and measures when, from the fault on.
func ElectEtcdLeader() *electionExpectation { return &electionExpectation{} }

// Within bounds the measured duration.
func (e *electionExpectation) Within(b clusters.Bounds) *electionExpectation {
	e.bounds = b
	return e
}

// Match implements Gomega's matcher.
func (e *electionExpectation) Match(actual any) (bool, error) {
	d, ok := actual.(*Drill)
	if !ok {
		return false, fmt.Errorf("this matcher is about a *drill.Drill, not %T", actual)
	}
	reference := d.injected()
	o := record.Observation{
		Expected: "etcd elects a leader within " + seconds(e.bounds.Upper), Upper: floatOf(e.bounds.Upper),
	}
	d.expects(o.Expected)
	var before, after probe.EtcdView
	await(d.ctx, func() bool {
		before, after = nextTerm(d.probes.Etcd().Changes(), reference)
		return after.Leader != "" || d.now() > reference+e.bounds.Upper+patience
	})
	measured := after.At - reference
	if after.Leader == "" {
		o.Observed = fmt.Sprintf("no leader in a term after %d", before.Term)
	} else {
		o.OK, o.Seconds = measured <= e.bounds.Upper, floatOf(measured)
		o.Observed = fmt.Sprintf("%s leads in term %d after %s, before it %s in term %d", after.Leader, after.Term, seconds(measured), before.Leader, before.Term)
	}
	d.observe(o)
	e.problem = o.Expected + ", but: " + o.Observed
	return o.OK, d.ctx.Err()
}

// nextTerm finds who led at the reference instant and the first leader of a
// higher term.
func nextTerm(views []probe.EtcdView, reference time.Duration) (before, after probe.EtcdView) {
	for _, t := range views {
		switch {
		case t.At <= reference:
			before = t
		case t.Leader != "" && t.Term > before.Term && after.Leader == "":
			after = t
		}
	}
	return before, after
}

// FailureMessage implements Gomega's matcher.
func (e *electionExpectation) FailureMessage(any) string { return "expected that " + e.problem }

// NegatedFailureMessage implements Gomega's matcher.
func (e *electionExpectation) NegatedFailureMessage(any) string {
	return "expected that etcd's leader stays"
}

// WithoutEtcdLeader tells whether something that took from an instant to another was under way
// while etcd had no leader: after the last fault had acted, and before one led in a higher term.
func (d *Drill) WithoutEtcdLeader(began, ended time.Time) bool {
	if len(d.injections) == 0 {
		return false
	}
	_, after := nextTerm(d.probes.Etcd().Changes(), d.injected())
	acted := d.injections[len(d.injections)-1].Instants().Injected
	return after.Leader != "" && d.At(began) < after.At && ended.After(acted)
}

// EtcdTerm is the highest term of etcd that any member has told: it grows with every election.
func (d *Drill) EtcdTerm() uint64 {
	views := d.probes.Etcd().Changes()
	if len(views) == 0 {
		return 0
	}
	return views[len(views)-1].Term
}
