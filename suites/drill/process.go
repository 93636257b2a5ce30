package drill

import (
	"context"
	"fmt"
	"time"

	"github.com/onsi/ginkgo/v2"

	"faultline/clusters"
	"faultline/reports/record"
)

// Processes looks up the processes of instances, to compare with later.
func (d *Drill) Processes(instances ...clusters.Instance) map[clusters.Instance]clusters.Process {
	ginkgo.GinkgoHelper()
	all := map[clusters.Instance]clusters.Process{}
	for _, i := range instances {
		p, err := i.Process(d.ctx)
		d.require(err, "no process of "+i.String())
		all[i] = p
	}
	return all
}

// exitExpectation is a matcher on a drill: a process ends by itself.
type exitExpectation struct {
	instance clusters.Instance
	before   clusters.Process
	bounds   clusters.Bounds
	problem  string
}

// Exit expects the process that a leader had to end, and measures when, from the
// last renewal of its lease on.
func Exit(i clusters.Instance, before clusters.Process) *exitExpectation {
	return &exitExpectation{instance: i, before: before}
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
	renewed, ok := d.probes.Leases().Renewed(e.instance.Component)
	if !ok {
		return false, fmt.Errorf("the lease of %s was never seen", e.instance.Component)
	}
	ctx, cancel := context.WithTimeout(d.ctx, max(time.Second, d.landed()+e.bounds.Upper+patience-d.now()))
	defer cancel()
	err := clusters.Await(ctx, 100*time.Millisecond, "the end of "+e.instance.String(), func(ctx context.Context) error {
		p, err := e.instance.Process(ctx)
		if err == nil && p.PID == e.before.PID && p.StartTicks == e.before.StartTicks {
			return fmt.Errorf("PID %d still runs", p.PID)
		}
		return nil
	})
	measured := d.now() - renewed
	o := record.Observation{
		Expected: fmt.Sprintf("%s gives up %s to %s after its last renewal", e.instance.Component, seconds(e.bounds.Lower), seconds(e.bounds.Upper)),
		Observed: "its process ended after " + seconds(measured),
		OK:       err == nil && measured >= e.bounds.Lower && measured <= e.bounds.Upper,
		Seconds:  floatOf(measured), Lower: floatOf(e.bounds.Lower), Upper: floatOf(e.bounds.Upper),
	}
	if err != nil {
		o.Observed = err.Error()
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
