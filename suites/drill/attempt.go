package drill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/reports/record"
	"faultline/suites/probe"
)

// Request is one thing that a person would ask of the API.
type Request func(context.Context, kubernetes.Interface) error

// Attempt is what became of a request.
type Attempt struct {
	drill *Drill
	what  string
	err   error
}

// attemptTime is how long a person would wait: kubectl's users give up sooner
// than an API server whose store hangs.
const attemptTime = 10 * time.Second

// AskThrough lets requests and conditions go through another door than the front of the
// API from now on: through a master of its own when the load balancer is gone.
func (d *Drill) AskThrough(e clusters.Endpoint) { d.door = e }

// api is a client of the API through the present door.
func (d *Drill) api() (kubernetes.Interface, error) { return d.Client(d.door) }

// Attempt sends a request once, through the present door.
func (d *Drill) Attempt(what string, do Request) Attempt {
	ctx, cancel := context.WithTimeout(d.ctx, attemptTime)
	defer cancel()
	client, err := d.api()
	if err == nil {
		err = do(ctx, client)
	}
	return Attempt{d, what, err}
}

// Afterwards takes back, when the spec is over, what it has changed by itself. Where that
// cannot be done the cluster is not used again.
func (d *Drill) Afterwards(do Request) {
	ginkgo.DeferCleanup(func(spec ginkgo.SpecContext) {
		ctx, cancel := context.WithTimeout(spec, attemptTime)
		defer cancel()
		client, err := d.Client(d.Front())
		if err == nil {
			err = do(ctx, client)
		}
		if err != nil {
			bench.spoiled = "what the spec had changed could not be taken back: " + err.Error()
		}
	})
}

// attemptMatcher expects an attempt to end in one way.
type attemptMatcher struct {
	// sentence is what is expected, around what is attempted.
	sentence string
	is       func(error) bool
	attempt  Attempt
}

// BeRefused expects that nobody answered the request.
func BeRefused() *attemptMatcher { return &attemptMatcher{sentence: "nobody can %s", is: unanswered} }

// BeAccepted expects that the API took the request.
func BeAccepted() *attemptMatcher {
	return &attemptMatcher{sentence: "the API lets one %s", is: func(err error) bool { return err == nil }}
}

// BeRejected expects that the API said no, for this reason.
func BeRejected(reason string) *attemptMatcher {
	return &attemptMatcher{sentence: "the API does not let one %s: " + reason, is: func(err error) bool {
		var status apierrors.APIStatus
		return errors.As(err, &status) && strings.Contains(err.Error(), reason)
	}}
}

// Match implements Gomega's matcher.
func (m *attemptMatcher) Match(actual any) (bool, error) {
	a, ok := actual.(Attempt)
	if !ok {
		return false, fmt.Errorf("this matcher is about a drill.Attempt, not %T", actual)
	}
	m.attempt = a
	held := m.is(a.err)
	a.drill.observe(record.Observation{Expected: m.expected(), Observed: m.observed(), OK: held})
	return held, nil
}

// unanswered tells an API that cannot be reached from one that says no: only
// the former proves that it is lost.
func unanswered(err error) bool {
	var network net.Error
	var status apierrors.APIStatus
	return err != nil && !errors.As(err, &status) && (errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded))
}

func (m *attemptMatcher) expected() string { return fmt.Sprintf(m.sentence, m.attempt.what) }

func (m *attemptMatcher) observed() string {
	if m.attempt.err != nil {
		return m.attempt.err.Error()
	}
	return "accepted"
}

// FailureMessage implements Gomega's matcher.
func (m *attemptMatcher) FailureMessage(any) string {
	return fmt.Sprintf("expected that %s, but: %s", m.expected(), m.observed())
}

// NegatedFailureMessage implements Gomega's matcher.
func (m *attemptMatcher) NegatedFailureMessage(any) string {
	return fmt.Sprintf("expected otherwise than that %s", m.expected())
}

// StaysTrue checks a condition for as long as a promise of service is checked.
func (d *Drill) StaysTrue(what string, condition Request) error {
	return d.StaysTrueFor(what, keepFor, condition)
}

// StaysTrueFor checks a condition for a time. Where that is over before it begins, as when a
// fault took too long to land, nothing is proven.
func (d *Drill) StaysTrueFor(what string, duration time.Duration, condition Request) error {
	ginkgo.GinkgoHelper()
	if duration <= 0 {
		d.require(fmt.Errorf("it was over %s before it began", seconds(-duration)), "no time to see whether "+what)
	}
	client, err := d.api()
	if err != nil {
		return err
	}
	d.expects(fmt.Sprintf("for %s %s", seconds(duration), what))
	for end := d.now() + duration; d.now() < end; {
		if err = condition(d.ctx, client); err != nil {
			break
		}
		select {
		case <-d.ctx.Done():
			return d.ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
	return d.Told(fmt.Sprintf("for %s %s", seconds(duration), what), err)
}

// BecomesTrue waits for a condition, and bounds when it is met, from the call on.
func (d *Drill) BecomesTrue(what string, within clusters.Bounds, condition Request) error {
	return d.becomesTrue(what, d.now(), within, condition)
}

// BecomesTrueAfterFault is BecomesTrue from the first fault of this phase on: what a mechanism
// forbids to undercut counts from there, whatever the spec has waited for meanwhile.
func (d *Drill) BecomesTrueAfterFault(what string, within clusters.Bounds, condition Request) error {
	return d.becomesTrue(what, d.injected(), within, condition)
}

// SinceFault is how long ago the first fault of this phase began to act.
func (d *Drill) SinceFault() time.Duration { return d.now() - d.injected() }

// LastServed is when the last request of a probe was sent that succeeded, at any vantage point.
func (d *Drill) LastServed(name probe.Name) time.Duration {
	var last time.Duration
	for _, t := range d.timelines(name, nil) {
		if s, ok := t.LastSuccess(); ok {
			last = max(last, s.At)
		}
	}
	return last
}

func (d *Drill) becomesTrue(what string, since time.Duration, within clusters.Bounds, condition Request) error {
	client, err := d.api()
	if err != nil {
		return err
	}
	d.expects(fmt.Sprintf("within %s %s", seconds(within.Upper), what))
	return d.awaitTrue(what, since, within, func(ctx context.Context) error { return condition(ctx, client) })
}

func (d *Drill) awaitTrue(what string, since time.Duration, within clusters.Bounds, condition func(context.Context) error) error {
	left := since + within.Upper - d.now()
	if left <= 0 {
		return d.Told(what, fmt.Errorf("nobody looked before %s were over", seconds(within.Upper)))
	}
	ctx, cancel := context.WithTimeout(d.ctx, left)
	defer cancel()
	if err := clusters.Await(ctx, 50*time.Millisecond, what, condition); err != nil {
		return d.Told(what, err)
	}
	took := d.now() - since
	o := record.Observation{Expected: what, Observed: "after " + seconds(took), OK: took >= within.Lower, Seconds: floatOf(took), Upper: floatOf(within.Upper)}
	if within.Lower > 0 {
		o.Lower = floatOf(within.Lower)
	}
	d.observe(o)
	return Unless(o.OK, fmt.Errorf("%s after %s, sooner than %s allows", what, seconds(took), seconds(within.Lower)))
}

// Took puts a measured duration into the record, and fails where it is out of bounds.
func (d *Drill) Took(what string, took time.Duration, within clusters.Bounds) error {
	return d.took(what, took, within, false)
}

// TookToRecover is Took for a recovery: its time is compared with that of earlier runs.
func (d *Drill) TookToRecover(what string, took time.Duration, within clusters.Bounds) error {
	return d.took(what, took, within, true)
}

func (d *Drill) took(what string, took time.Duration, within clusters.Bounds, recovery bool) error {
	o := record.Observation{
		Expected: fmt.Sprintf("%s after %s to %s", what, seconds(within.Lower), seconds(within.Upper)), Observed: "after " + seconds(took),
		OK:      took >= within.Lower && took <= within.Upper,
		Seconds: floatOf(took), Lower: floatOf(within.Lower), Upper: floatOf(within.Upper), Recovery: recovery,
	}
	d.observe(o)
	if !o.OK {
		return fmt.Errorf("expected: %s, but it was %s", o.Expected, o.Observed)
	}
	return nil
}

// Told puts the outcome of a check into the record, and returns it.
func (d *Drill) Told(what string, err error) error {
	o := record.Observation{Expected: what, Observed: "so it is", OK: err == nil}
	if err != nil {
		o.Observed = err.Error()
		err = fmt.Errorf("%s: %w", what, err)
	}
	d.observe(o)
	return err
}

// All fails unless several conditions are met, in this order.
func All(conditions ...Request) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		for _, condition := range conditions {
			if err := condition(ctx, c); err != nil {
				return err
			}
		}
		return nil
	}
}

// Unless is nil where it is as it should be, else an error with what else is known.
func Unless(is bool, known error) error {
	if is {
		return nil
	}
	return errors.Join(errors.New("it is not so"), known)
}
