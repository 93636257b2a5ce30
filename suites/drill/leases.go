package drill

import (
	"context"
	"fmt"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/reports/record"
	"faultline/suites/probe"
)

// leaseExpectation is a matcher on a drill's lease timelines.
type leaseExpectation struct {
	component clusters.Component
	bounds    clusters.Bounds
	elsewhere bool
	problem   string
}

// HandOver expects the component's lease to get another holder, once until the next fault or
// undo, and measures when, from the fault on.
func HandOver(component clusters.Component) *leaseExpectation {
	return &leaseExpectation{component: component}
}

// Elsewhere expects the next holder on another node. Without it that may be the former leader, which
// has another name when it has been started again.
func (e *leaseExpectation) Elsewhere() *leaseExpectation {
	e.elsewhere = true
	return e
}

// Within bounds the measured duration on both sides.
func (e *leaseExpectation) Within(b clusters.Bounds) *leaseExpectation {
	e.bounds = b
	return e
}

// Match implements Gomega's matcher.
func (e *leaseExpectation) Match(actual any) (bool, error) {
	d, ok := actual.(*Drill)
	if !ok {
		return false, fmt.Errorf("this matcher is about a *drill.Drill, not %T", actual)
	}
	o := record.Observation{
		Expected: fmt.Sprintf("the lease of %s goes to another holder after %s to %s", e.component, seconds(e.bounds.Lower), seconds(e.bounds.Upper)),
		Upper:    floatOf(e.bounds.Upper), Lower: floatOf(e.bounds.Lower),
	}
	d.expects(o.Expected)
	found := e.look(d)
	o.OK, o.Observed = found.ok, found.observed
	if found.seconds != nil {
		o.Seconds = floatOf(*found.seconds)
	}
	d.observe(o)
	e.problem = o.Expected + ", but " + o.Observed
	return o.OK, d.ctx.Err()
}

func (e *leaseExpectation) look(d *Drill) finding {
	reference := d.injected()
	var before, after probe.LeaseView
	await(d.ctx, func() bool {
		before, after = successor(d.probes.Leases().Changes(e.component), reference)
		return after.Holder != "" || d.now() > reference+e.bounds.Upper+patience
	})
	if after.Holder == "" {
		return finding{false, fmt.Sprintf("%s still held it after %s", before.Holder, seconds(d.now()-reference)), nil}
	}
	d.promise(fmt.Sprintf("%s keeps the lease of %s", after.Holder, e.component), func(until time.Duration) error {
		if n := handOvers(d.probes.Leases().Changes(e.component), after.At, until); n > 0 {
			return fmt.Errorf("it has changed hands %d times more", n)
		}
		return nil
	})
	return e.judge(before, after, after.At-reference)
}

// judge compares what the lease said before the fault and after it.
func (e *leaseExpectation) judge(before, after probe.LeaseView, measured time.Duration) finding {
	switch times := after.Transitions - before.Transitions; {
	case measured < e.bounds.Lower:
		return finding{false, fmt.Sprintf("%s took it after %s, before the lease can have run out", after.Holder, seconds(measured)), &measured}
	case measured > e.bounds.Upper:
		return finding{false, fmt.Sprintf("%s took it only after %s", after.Holder, seconds(measured)), &measured}
	case e.elsewhere && clusters.HolderNode(after.Holder) == clusters.HolderNode(before.Holder):
		return finding{false, fmt.Sprintf("%s took it after %s, on the same node as %s", after.Holder, seconds(measured), before.Holder), &measured}
	case times != 1:
		return finding{false, fmt.Sprintf("%s has it after %s, and it counts %d changes of hands since %s had it", after.Holder, seconds(measured), times, before.Holder), &measured}
	}
	return finding{true, fmt.Sprintf("%s took it from %s after %s", after.Holder, before.Holder, seconds(measured)), &measured}
}

// FailureMessage implements Gomega's matcher.
func (e *leaseExpectation) FailureMessage(any) string { return "expected that " + e.problem }

// NegatedFailureMessage implements Gomega's matcher.
func (e *leaseExpectation) NegatedFailureMessage(any) string {
	return fmt.Sprintf("expected that %s keeps its leader", e.component)
}

// successor finds who held at the reference instant and the next holder who is
// somebody else. A released lease is held by nobody.
func successor(views []probe.LeaseView, reference time.Duration) (before, after probe.LeaseView) {
	for _, h := range views {
		switch {
		case h.At <= reference:
			before = h
		case h.Holder != "" && h.Holder != before.Holder && after.Holder == "":
			after = h
		}
	}
	return before, after
}

// HandedOver is when the component's lease had another holder than before the fault, since
// the experiment began; the HandOver of the same phase has waited for it.
func (d *Drill) HandedOver(component clusters.Component) time.Duration {
	ginkgo.GinkgoHelper()
	_, after := successor(d.probes.Leases().Changes(component), d.injected())
	gomega.Expect(after.Holder).NotTo(gomega.BeEmpty(), "the lease of %s has not been handed over", component)
	return after.At
}

// HandOvers is how often the component's lease has changed hands since the experiment began.
// One that was released counts, whether somebody has taken it or not.
func (d *Drill) HandOvers(component clusters.Component) int {
	return handOvers(d.probes.Leases().Changes(component), 0, d.now())
}

// handOvers counts how often a lease has changed hands after an instant and until another.
// A count of its own that grew tells of holders that nobody saw.
func handOvers(views []probe.LeaseView, after, until time.Duration) int {
	n := 0
	for i, v := range views {
		if i == 0 || v.At <= after || v.At > until {
			continue
		}
		before := views[i-1]
		if before.Holder != "" && (v.Holder != before.Holder || v.Transitions > before.Transitions) {
			n++
		}
	}
	return n
}

// LeaseKept fails unless the component's lease has not changed hands since the experiment
// began, and was renewed so long after the fault that it had run out otherwise: one that
// nobody can write to does not change hands either.
func (d *Drill) LeaseKept(component clusters.Component) error {
	reference := d.injected()
	what := fmt.Sprintf("the lease of %s stays with its holder, who renews it later than %s after the fault", component, seconds(clusters.LeaseDuration))
	d.expects(what)
	var renewed time.Duration
	await(d.ctx, func() bool {
		at, _ := d.probes.Leases().Renewed(component)
		renewed = at - reference
		return renewed > clusters.LeaseDuration || d.now() > reference+d.Timing.LeaseHeld().Upper
	})
	changes := d.HandOvers(component)
	saw := fmt.Sprintf("it was renewed %s after the fault, and has changed hands %d times", seconds(renewed), changes)
	return d.Saw(what, saw, Unless(renewed > clusters.LeaseDuration && changes == 0, nil))
}

// Leader is the leading instance of a component; without one the experiment
// cannot be done.
func (d *Drill) Leader(component clusters.Component) clusters.Instance {
	leader, err := clusterLeader(d.ctx, d.Cluster, component)
	d.require(err, "no leader of "+string(component))
	return leader
}

// LeadingOn are the elected components that lead from a node.
func (d *Drill) LeadingOn(n *clusters.Node) []clusters.Component {
	ginkgo.GinkgoHelper()
	var all []clusters.Component
	for _, component := range []clusters.Component{clusters.Scheduler, clusters.ControllerManager} {
		if d.Leader(component).Node == n {
			all = append(all, component)
		}
	}
	return all
}

func clusterLeader(ctx context.Context, c *clusters.Cluster, component clusters.Component) (clusters.Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return c.Leader(ctx, component)
}
