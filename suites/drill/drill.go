// Package drill is one experiment: a cluster in its steady state, probes that
// watch it, faults, and assertions on what the probes saw. Specs are written
// in its verbs; what was expected and observed goes to the record.
package drill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"

	"faultline/clusters"
	"faultline/clusters/progress"
	"faultline/fault"
	"faultline/reports/record"
	"faultline/suites/labels"
	"faultline/suites/probe"
)

// Drill is a running experiment.
type Drill struct {
	*clusters.Cluster
	ctx        context.Context
	bench      *Bench
	probes     *probe.Set
	injector   *fault.Injector
	injections []*fault.Injection
	// phase is the first injection of the present phase, see Then.
	phase int
	// repair is when somebody last began to mend something by hand, see BeginRepair.
	repair time.Duration
	// door is where requests and conditions go to the API.
	door       clusters.Endpoint
	experiment record.Experiment
	spent      record.Spent
	// step shows that the experiment lives, and what it waits for.
	step    *progress.Step
	clock   probe.Clock
	options options
	window  probe.Window
	dice    *rand.Rand
	// pressure is this machine's at the experiment's start; nil where it is not known.
	pressure *pressure

	// promises are checked again when the fault is undone, or at the end.
	promises []promise
	// inconclusive says why the experiment proves nothing.
	inconclusive string
	// maimed: the cluster is changed for good.
	maimed bool
	// skipped: this machine cannot carry the topology.
	skipped bool
}

type options struct {
	sabotage fault.Sabotage
	ttl      time.Duration
	lie      bool
	discard  bool
	mutation Mutation
}

// Option changes a drill. All options are for sabotage runs: a drill on which
// one is used is no experiment and leaves no record.
type Option func(*options)

// WithoutFault makes every injection a no-op.
func WithoutFault(o *options) { o.sabotage.SkipInject, o.discard = true, true }

// WithoutUndo makes Undo a no-op; the drill's end undoes for real.
func WithoutUndo(o *options) { o.sabotage.SkipUndo, o.discard = true, true }

// WithTTL makes the nodes undo every fault by themselves after a time.
func WithTTL(ttl time.Duration) Option {
	return func(o *options) { o.ttl, o.discard = ttl, true }
}

// WithLyingProbes makes every probe report success.
func WithLyingProbes(o *options) { o.lie, o.discard = true, true }

// A Mutation changes the system itself so that a claim about it is not true any more.
type Mutation func(context.Context, *Drill) error

// WithMutation mutates the cluster before the experiment. It is not used again.
func WithMutation(m Mutation) Option {
	return func(o *options) { o.mutation, o.discard = m, true }
}

// On starts an experiment on a cluster of the topology: as good as new, with
// every probe green for a while. The drill ends with the spec.
func On(ctx context.Context, topology string, opts ...Option) *Drill {
	ginkgo.GinkgoHelper()
	d := &Drill{ctx: ctx, bench: bench, clock: probe.NewClock()}
	for _, o := range opts {
		o(&d.options)
	}
	spec := ginkgo.CurrentSpecReport()
	d.experiment = record.Experiment{
		ID: bench.nextExperiment(), Name: spec.FullText(), Topology: topology, Command: repeatCommand(spec, bench.Timing.Profile.Name),
		Claims: labels.Values(spec.Labels(), labels.Claim), Loses: labels.Values(spec.Labels(), labels.Component),
	}
	bench.Progress.Printf("%s: %s, on %s", d.experiment.ID, bench.outlook(d.experiment.Name), topology)
	ginkgo.DeferCleanup(d.finish)
	d.start(topology)
	d.step = bench.Progress.Step(d.experiment.ID+" on "+d.Name, bench.likely(d.experiment.Name))
	return d
}

// start takes a cluster of the topology, and watches it until it is steady.
func (d *Drill) start(topology string) {
	ginkgo.GinkgoHelper()
	var err error
	begun := time.Now()
	d.Cluster, err = bench.acquire(d.ctx, topology)
	d.spend(&d.spent.Cluster, begun)
	if errors.Is(err, clusters.ErrUnsupported) {
		d.skipped = true
		ginkgo.Skip(err.Error())
	}
	d.require(err, "no cluster")
	d.experiment.StartedAt, d.experiment.Cluster = time.Now(), d.Name
	if d.Topology.Kubernetes() {
		d.door = d.Front()
	}
	d.injector = fault.NewInjector(d.Cluster, bench.journal)
	d.injector.Sabotage = d.options.sabotage
	begun = time.Now()
	d.probes, err = bench.startProbes(d.ctx, d.Cluster, d.options.lie)
	d.require(err, "no probes")
	d.clock = d.probes.Clock()
	d.pressure = pressureAt(d.now())
	d.require(d.mutate(), "the mutation failed")
	d.require(d.awaitSteadyState(), "no steady state")
	d.spend(&d.spent.Steady, begun)
}

// tell says to whoever watches what has happened.
func (d *Drill) tell(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	bench.Progress.Printf("%s: %s", d.experiment.ID, what)
	d.step.Update(what)
}

// expects lets whoever watches for long know what the experiment waits for.
func (d *Drill) expects(what string) { d.step.Update("expecting that " + what) }

// spend books the time since an instant on a part of the experiment's account.
func (d *Drill) spend(part *float64, since time.Time) { *part += time.Since(since).Seconds() }

// mutate changes the system where that is asked for. Faults that it injects are no part of
// the experiment.
func (d *Drill) mutate() error {
	if d.options.mutation == nil {
		return nil
	}
	d.EndsHere()
	err := d.options.mutation(d.ctx, d)
	d.phase = len(d.injections)
	return err
}

// fail ends the spec through Gomega's fail handler, which sabotage runs intercept.
func fail(message string) {
	ginkgo.GinkgoHelper()
	gomega.Expect(false).To(gomega.BeTrueBecause("%s", message))
}

// require ends the spec as inconclusive when err is set.
func (d *Drill) require(err error, why string) {
	ginkgo.GinkgoHelper()
	if err != nil {
		d.inconclusive = fmt.Sprintf("%s: %v", why, err)
		fail("inconclusive: " + d.inconclusive)
	}
}

// steadyFor is how long every probe has to be green before a fault: longer than its time-out, as
// a request that hangs is in no timeline before that.
const steadyFor = 2*time.Second + probe.DefaultTimeout

// awaitSteadyState waits until every probe has been green for steadyFor.
func (d *Drill) awaitSteadyState() error {
	ctx, cancel := context.WithTimeout(d.ctx, time.Duration(d.Timing.Slack*float64(time.Minute)))
	defer cancel()
	return clusters.Await(ctx, 50*time.Millisecond, "the steady state of "+d.Name, func(context.Context) error {
		now := d.now()
		if now < steadyFor {
			return errors.New("the probes have just begun")
		}
		for _, t := range d.probes.Timelines() {
			if last, ok := t.FirstDown(now - steadyFor); ok {
				return fmt.Errorf("probe %s is %s: %s", t, last.Way, last.Detail)
			}
			if t.Up(now-steadyFor, now) == 0 {
				return fmt.Errorf("probe %s has no success yet", t)
			}
		}
		return nil
	})
}

// AwaitQuietStore waits until etcd has had the same leader for the time, before this
// experiment too: API servers remember a disturbance.
func (d *Drill) AwaitQuietStore(quiet time.Duration) {
	ginkgo.GinkgoHelper()
	end := d.clock.At(bench.disturbed.Add(quiet))
	if wait := end - d.now(); wait > 0 {
		d.tell("another %s until etcd on %s has been quiet for %s", seconds(wait), d.Name, seconds(quiet))
	}
	await(d.ctx, func() bool { return d.now() >= end })
	d.require(d.ctx.Err(), "interrupted")
}

// noteDisturbance remembers when etcd's leader changed last.
func (d *Drill) noteDisturbance() {
	if d.probes == nil {
		return
	}
	if views := d.probes.Etcd().Changes(); len(views) > 1 {
		bench.disturbed = d.clock.Time(views[len(views)-1].At)
	}
}

// now is the time since the experiment began.
func (d *Drill) now() time.Duration { return d.clock.Now() }

// longestHold is when nodes undo a drill's fault by themselves: later than anything is waited
// for while one holds. Evictions take longest, and some specs wait for two.
func longestHold(t clusters.Timing) time.Duration { return fault.DefaultTTL + 2*t.Eviction().Upper }

// Inject breaks what the fault says, and returns when the effect is proven. A
// fault whose effect cannot be proven ends the spec as inconclusive.
func (d *Drill) Inject(f fault.Fault) {
	ginkgo.GinkgoHelper()
	defer d.spend(&d.spent.Faults, time.Now())
	d.step.Update("injecting " + f.String())
	injection, err := d.injector.Inject(d.ctx, f.WithTTL(cmp.Or(d.options.ttl, longestHold(d.Timing))))
	if injection != nil {
		d.injections = append(d.injections, injection)
	}
	d.require(err, "the fault did not land")
	d.tell("%s landed", f)
}

// Then injects one fault more, after checking what was promised so far. What is asserted
// from now on is measured from this fault, and nothing earlier is promised any more.
func (d *Drill) Then(f fault.Fault) {
	ginkgo.GinkgoHelper()
	d.checkPromises()
	d.phase = len(d.injections)
	d.Inject(f)
}

// BeginRepair says that somebody is about to mend by hand what is broken: it checks what was
// promised so far, and nothing earlier is promised any more. What resumes is measured from
// now on, and a pause still from the fault.
func (d *Drill) BeginRepair() {
	ginkgo.GinkgoHelper()
	d.checkPromises()
	d.repair = d.now()
}

// Hold lets a fault hold for a time, as an outage that takes long.
func (d *Drill) Hold(duration time.Duration) {
	ginkgo.GinkgoHelper()
	end := d.now() + duration
	d.tell("the fault holds for %s", seconds(duration))
	await(d.ctx, func() bool { return d.now() >= end })
	d.require(d.ctx.Err(), "interrupted")
}

// Undo takes every open fault back, after checking that what was lost stayed
// lost and what was promised was kept while the fault held.
func (d *Drill) Undo() {
	ginkgo.GinkgoHelper()
	d.checkPromises()
	defer d.spend(&d.spent.Faults, time.Now())
	d.step.Update("undoing")
	for _, i := range slices.Backward(d.injections) {
		gomega.Expect(i.Undo(d.ctx)).To(gomega.Succeed())
	}
	d.tell("undone")
}

// UndoLast takes the latest open fault back, after checking what was promised so far.
func (d *Drill) UndoLast() {
	ginkgo.GinkgoHelper()
	d.checkPromises()
	defer d.spend(&d.spent.Faults, time.Now())
	for _, i := range slices.Backward(d.injections) {
		if i.State() == fault.Landed {
			gomega.Expect(i.Undo(d.ctx)).To(gomega.Succeed())
			d.tell("%s is undone", i.Fault)
			return
		}
	}
	fail("there is no open fault to undo")
}

// AwaitHealed waits until what was broken is proven mended.
func (d *Drill) AwaitHealed() {
	ginkgo.GinkgoHelper()
	d.expects("what was broken is mended")
	gomega.Expect(d.awaitHealed(d.ctx)).To(gomega.Succeed())
}

// awaitHealed waits for all faults at once: each has to be seen well for a while.
func (d *Drill) awaitHealed(ctx context.Context) error {
	var group errgroup.Group
	for _, i := range d.injections {
		group.Go(func() error { return i.AwaitHealed(ctx) })
	}
	return group.Wait()
}

// Drifted says that today's behaviour, which the spec asserts, differs from the
// document's as the catalogue describes it.
func (d *Drill) Drifted(how string) { d.experiment.Drift = how }

// At is an instant as the time since the experiment began.
func (d *Drill) At(instant time.Time) time.Duration { return d.clock.At(instant) }

// injected is the instant just before the first fault of this phase acted: durations
// measured from it never come out too short.
func (d *Drill) injected() time.Duration {
	if d.phase >= len(d.injections) {
		return 0
	}
	return d.clock.At(d.injections[d.phase].Instants().Injecting)
}

// landed is the instant at which the last fault's effect was proven.
func (d *Drill) landed() time.Duration {
	if len(d.injections) == 0 {
		return 0
	}
	return d.clock.At(d.injections[len(d.injections)-1].Instants().Landed)
}

// changed is the instant of the latest landing, undo or begin of a repair.
func (d *Drill) changed() time.Duration {
	at := max(d.landed(), d.repair)
	for _, i := range d.injections {
		if undone := i.Instants().Undone; !undone.IsZero() {
			at = max(at, d.clock.At(undone))
		}
	}
	return at
}

// Outage is for how long components may have crashed again and again: from the experiment's
// first fault, or from its begin where nothing is injected, to the latest landing, undo or
// begin of a repair.
func (d *Drill) Outage() time.Duration {
	var began time.Duration
	if len(d.injections) > 0 {
		began = max(0, d.clock.At(d.injections[0].Instants().Injecting)) // one that was refused has none
	}
	return d.changed() - began
}

// observe puts what an assertion saw into the record.
func (d *Drill) observe(o record.Observation) {
	o.At = d.now().Seconds()
	d.experiment.Observations = append(d.experiment.Observations, o)
}
