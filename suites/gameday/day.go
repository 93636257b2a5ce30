package gameday

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"faultline/clusters"
	"faultline/fault"
	"faultline/reports/record"
	"faultline/suites/gameday/page"
	"faultline/suites/gameday/plan"
	"faultline/suites/gameday/stop"
	"faultline/suites/probe"
)

// Options of a day.
type Options struct {
	Planning Planning
	Plan     plan.Plan
	Journal  *fault.Journal
	// Interval is the time between two samples of a probe.
	Interval time.Duration
	// Page is where the live page listens; empty: on a free port of the loopback address.
	Page string
	// In and Out are the terminal.
	In  io.Reader
	Out io.Writer
	// Direct tells why a node is not reached without an API server; nil: each one is.
	Direct func(ctx context.Context, node string) error
	// ReachedUntil is when the way to the nodes ends by itself; zero: never.
	ReachedUntil time.Time
	// Save keeps an experiment as soon as it is over.
	Save func(record.Experiment) error
}

// Day is a game day under way.
type Day struct {
	Options
	cluster  *clusters.Cluster
	injector *fault.Injector
	probes   *probe.Set
	watch    *watch
	state    *state
	terminal *terminal
	results  []record.Experiment
	// left says of each experiment of the plan why it was not tried; empty: it was.
	left []string
	// undone is when the last undo was over.
	undone time.Time
}

// Outcome is what is told after the day.
type Outcome struct {
	Experiments []record.Experiment
	// Left are the experiments of the plan that were not tried, and why.
	Left  []record.Skipped
	Notes []page.Note
	// Failed is what went wrong beside the experiments, and perhaps ended the day early.
	Failed error
	// Aborted is why people or a stop condition ended the day early, and Undone how long after
	// that everything had been undone; zero: nothing was in effect then.
	Aborted string
	Undone  time.Duration
	// NotUndone is why not everything could be undone.
	NotUndone error

	// Checked tells that the cluster was looked at afterwards. Without it nothing below says
	// anything.
	Checked bool
	// AsBefore is nil when every node, every member of etcd and the shape are as they were.
	AsBefore error
	// Audit is what became of the acknowledged writes, or nil, and Unaudited why nobody knows.
	Audit     *record.Audit
	Unaudited error
	// Changed are objects of the API that came or went meanwhile, by whomever; Unlisted is why
	// nobody knows.
	Changed  []string
	Unlisted error
}

// Why an experiment was not tried.
const (
	leftByPeople = "people skipped it"
	leftByTime   = "the day ended before it"
)

// Run carries the plan out on a cluster whose nodes are reached already. Whatever happens,
// every fault is undone before it returns. The end of ctx is an abort like any other: nothing else
// ends the day's own context, so that its cause always says why.
func Run(ctx context.Context, o Options) (Outcome, error) {
	d := &Day{Options: o, cluster: o.Planning.Found.Cluster, left: slices.Repeat([]string{leftByTime}, len(o.Plan.Experiments))}
	day, abort := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abort(nil)
	d.state = newState(d.cluster.Name, o.Plan.Target.Server, abort)
	over := context.AfterFunc(ctx, func() { d.state.Abort("interrupted") })
	defer over()
	d.terminal = newTerminal(d.state, o.In, o.Out)
	d.injector = fault.NewInjector(d.cluster, o.Journal)
	if err := d.prepare(day); err != nil {
		return d.outcome(), errors.Join(unlessAborted(day, err), d.withdraw(ctx))
	}
	live, err := page.Serve(o.Page, d.snapshot, d.state)
	if err != nil {
		return d.outcome(), errors.Join(err, d.withdraw(ctx))
	}
	d.terminal.say("live page: %s", live.URL())
	go d.terminal.read()
	var ended error
	for n := 0; n < len(o.Plan.Experiments) && ended == nil && day.Err() == nil; n++ {
		ended = d.experiment(day, n)
	}
	outcome, err := d.finish(ctx)
	d.state.enter(page.Over, "the day is over")
	<-time.After(lastLook) // whoever watches is to see that
	return outcome, errors.Join(ended, err, live.Close())
}

// unlessAborted leaves out the error of what an abort has cut off: the abort is told by itself.
func unlessAborted(day context.Context, err error) error {
	if day.Err() != nil {
		return nil
	}
	return err
}

// lastLook is how long the live page stays after the day is over.
const lastLook = time.Second

// shapeTime limits how long the cluster may take to look as it was discovered.
const shapeTime = time.Minute

// prepare proves that the cluster is healthy and is what was discovered, remembers how it is,
// and starts the probes.
func (d *Day) prepare(ctx context.Context) error {
	d.terminal.say("looking at %s: its shape, its etcd, its nodes", d.cluster.Name)
	shape, cancel := context.WithTimeout(ctx, shapeTime)
	defer cancel()
	if err := d.cluster.AwaitShape(shape); err != nil {
		return fmt.Errorf("the cluster is not in good health, so nothing is broken on top of it: %w", err)
	}
	if err := d.cluster.Remember(ctx, d.Planning.namespaces()...); err != nil {
		return err
	}
	var err error
	d.probes, err = probe.New(d.cluster, probe.Options{Interval: d.Interval, Unprivileged: true})
	if err != nil {
		return err
	}
	if err := d.probes.Start(ctx); err != nil {
		return err
	}
	d.watch = newWatch(ctx, d.cluster, d.probes, d.Plan.Stop)
	return nil
}

// snapshot is what the page shows.
func (d *Day) snapshot() page.Snapshot {
	p := d.state.snapshot()
	d.watch.show(&p)
	for _, f := range d.findings() {
		p.Conditions = append(p.Conditions, page.Condition(f))
	}
	return p
}

// findings are the stop conditions now.
func (d *Day) findings() []stop.Finding {
	current, margin := d.state.underway()
	return d.watch.findings(current, d.Plan.Stop, margin)
}

// outcome is what there is to tell of the day before the cluster is looked at again.
func (d *Day) outcome() Outcome {
	out := Outcome{Experiments: d.results, Notes: d.state.snapshot().Notes}
	for n, why := range d.left {
		if why != "" {
			out.Left = append(out.Left, record.Skipped{Name: nameOf(d.Plan.Experiments[n]), Claims: []string{}, Topology: d.cluster.Topology.Name, Reason: why})
		}
	}
	if at, why := d.state.abortedAt(); why != "" {
		out.Aborted, out.Undone = why, max(0, d.undone.Sub(at))
	}
	return out
}

// finish undoes what is open, proves that the cluster is as before, and takes the probes away.
func (d *Day) finish(ctx context.Context) (Outcome, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), healing(d.cluster.Timing))
	defer cancel()
	notUndone := d.restore(ctx)
	out := d.outcome()
	out.NotUndone, out.Checked = notUndone, true
	d.sayEnd(out)
	d.state.enter(page.Healing, "proving that the cluster is as before")
	d.terminal.say("proving that the cluster is as before")
	out.AsBefore = errors.Join(notUndone, d.cluster.AwaitNodesAsNew(ctx))
	lost := d.audit(ctx, &out)
	withdrawn := d.withdraw(ctx)
	out.Changed, out.Unlisted = d.cluster.ChangedObjects(ctx)
	return out, errors.Join(lost, out.Unaudited, withdrawn, out.Unlisted)
}

// restore undoes what an experiment could not.
func (d *Day) restore(ctx context.Context) error {
	if len(d.injector.Open()) == 0 {
		return nil
	}
	err := d.injector.Restore(ctx)
	d.undone = time.Now()
	return err
}

// sayEnd tells at the terminal what an abort came to.
func (d *Day) sayEnd(out Outcome) {
	if out.Aborted != "" {
		d.terminal.say("aborted: %s", out.Aborted)
	}
	if text := undoneText(out); text != "" {
		d.terminal.say("%s", text)
	}
}

// audit asks for every write that was acknowledged, and fails where one is lost.
func (d *Day) audit(ctx context.Context, out *Outcome) error {
	if err := d.probes.Stop(); err != nil {
		d.terminal.say("%v", err)
	}
	audit, err := d.probes.Ledger().Audit(ctx, d.cluster)
	if err != nil && !errors.Is(err, probe.ErrNeverWritten) { // that is a finding, beside a valid account
		out.Unaudited = err
		return nil
	}
	out.Audit = &audit
	if len(audit.Lost) > 0 || len(audit.Backwards) > 0 || audit.Missed > 0 {
		err = errors.Join(err, fmt.Errorf("of %d acknowledged writes %d are lost, %d were never delivered by a watch; versions went back on %v",
			audit.Acknowledged, len(audit.Lost), audit.Missed, audit.Backwards))
	}
	return err
}

// withdraw takes away what the probes have created.
func (d *Day) withdraw(ctx context.Context) error {
	if d.probes == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTime)
	defer cancel()
	_ = d.probes.Stop() // the namespaces go with everything in them
	return probe.Remove(ctx, d.cluster, probe.Options{})
}

// withdrawTime limits how long namespaces may take to end.
const withdrawTime = 3 * time.Minute
