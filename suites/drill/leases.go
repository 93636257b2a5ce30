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
	problem   string
}

// HandOver expects the component's lease to get another holder once, and
// measures when, from the fault on.
func HandOver(component clusters.Component) *leaseExpectation {
	return &leaseExpectation{component: component}
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
	reference := d.injected()
	o := record.Observation{
		Expected: fmt.Sprintf("the lease of %s goes to another holder after %s to %s", e.component, seconds(e.bounds.Lower), seconds(e.bounds.Upper)),
		Upper:    floatOf(e.bounds.Upper), Lower: floatOf(e.bounds.Lower),
	}
	d.expects(o.Expected)
	var before, after probe.LeaseView
	await(d.ctx, func() bool {
		before, after = successor(d.probes.Leases().Changes(e.component), reference)
		return after.Holder != "" || d.now() > reference+e.bounds.Upper+patience
	})
	measured := after.At - reference
	switch {
	case after.Holder == "":
		o.Observed = fmt.Sprintf("%s still held it after %s", before.Holder, seconds(d.now()-reference))
	case measured < e.bounds.Lower:
		o.Observed = fmt.Sprintf("%s took it after %s, before the lease can have run out", after.Holder, seconds(measured))
	case measured > e.bounds.Upper:
		o.Observed = fmt.Sprintf("%s took it only after %s", after.Holder, seconds(measured))
	default:
		o.OK = true
		o.Observed = fmt.Sprintf("%s took it from %s after %s", after.Holder, before.Holder, seconds(measured))
	}
	if after.Holder != "" {
		o.Seconds = floatOf(measured)
	}
	d.observe(o)
	e.problem = o.Expected + ", but " + o.Observed
	return o.OK, d.ctx.Err()
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

// Holders is how often the component's lease has changed hands since the experiment began.
func (d *Drill) Holders(component clusters.Component) int {
	return len(d.probes.Leases().Changes(component))
}

// Leader is the leading instance of a component; without one the experiment
// cannot be done.
func (d *Drill) Leader(component clusters.Component) clusters.Instance {
	leader, err := clusterLeader(d.ctx, d.Cluster, component)
	d.require(err, "no leader of "+string(component))
	return leader
}

func clusterLeader(ctx context.Context, c *clusters.Cluster, component clusters.Component) (clusters.Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return c.Leader(ctx, component)
}
