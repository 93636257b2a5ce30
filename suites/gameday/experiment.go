package gameday

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"faultline/clusters"
	"faultline/fault"
	"faultline/reports/record"
	"faultline/suites/gameday/page"
	"faultline/suites/gameday/plan"
	"faultline/suites/probe"
)

// run is an experiment under way.
type run struct {
	*Day
	plan.Experiment
	number    int
	hit       hit
	injection *fault.Injection
	began     time.Duration // on the probes' clock
	entry     record.Experiment
	// unwell is why the cluster is not as it was after the undo.
	unwell error
}

// experiment shows, asks, checks, breaks, watches, undoes and tells. An error ends the day; an abort,
// which does so too, is none.
func (d *Day) experiment(ctx context.Context, n int) error {
	r := &run{Day: d, Experiment: d.Plan.Experiments[n], number: n + 1}
	if err := r.check(ctx); err != nil {
		return unlessAborted(ctx, err)
	}
	switch said, err := d.state.await(ctx, r.announce()); {
	case err != nil:
		return unlessAborted(ctx, err)
	case said == skipped:
		r.left[n] = leftByPeople
		r.tell(true, "skipped")
		return nil
	}
	// People may have taken an hour to say so.
	if err := r.check(ctx); err != nil {
		return unlessAborted(ctx, err)
	}
	r.left[n] = ""
	r.began = d.watch.now()
	r.entry = record.Experiment{
		ID: fmt.Sprintf("g%02d", r.number), Name: nameOf(r.Experiment), Claims: []string{}, Topology: d.cluster.Topology.Name,
		Cluster: d.cluster.Name, StartedAt: time.Now(),
	}
	err := r.carryOut(ctx)
	r.conclude(err)
	d.results = append(d.results, r.entry)
	return errors.Join(d.Save(r.entry), r.unwell)
}

// nameOf is the experiment's name in the record.
func nameOf(e plan.Experiment) string { return "Game day: " + does(e) }

// does tells what the experiment breaks.
func does(e plan.Experiment) string {
	c, _, err := find(e.Name)
	if err != nil {
		return e.Name
	}
	return c.does + " (" + strings.Join(e.Targets, ", ") + ")"
}

// check proves again that this is the cluster, that its owner allows the experiment now, and
// that it still is what the plan says. Nothing is broken without it.
func (r *run) check(ctx context.Context) error {
	if err := r.checkTime(time.Now()); err != nil {
		return err
	}
	found, err := r.Planning.Target.Discover(ctx, r.cluster.HostLabel)
	if err != nil {
		return err
	}
	fresh := r.Planning
	fresh.Found = found
	one := r.Plan
	one.Experiments = []plan.Experiment{r.Experiment}
	if err := fresh.Check(ctx, one, time.Now()); err != nil {
		return err
	}
	if r.hit, err = pick(ctx, r.cluster, r.Name); err != nil {
		return err
	}
	return r.checkDirect(ctx)
}

// checkTime fails where the way to the nodes may end before the fault has: nobody but its timer could
// undo it then.
func (r *run) checkTime(now time.Time) error {
	if end := now.Add(time.Duration(r.Hold) + margin); !r.ReachedUntil.IsZero() && end.After(r.ReachedUntil) {
		return fmt.Errorf("experiment %s may last until %s, and the pods that reach nodes end at %s: leave it to another day, with another plan: make gameday-plan",
			r.Name, end.Format(time.TimeOnly), r.ReachedUntil.Format(time.TimeOnly))
	}
	return nil
}

// checkDirect fails where an undo would have to go over nodes that the experiment cuts off.
func (r *run) checkDirect(ctx context.Context) error {
	for _, n := range r.hit.cut {
		if r.Direct == nil {
			return nil
		}
		if err := r.Direct(ctx, n.Name); err != nil {
			return fmt.Errorf("experiment %s cuts node %s off, and it is reached over others only, so that nothing but its timer could undo that: %w",
				r.Name, n.Name, err)
		}
	}
	return nil
}

// announce shows the experiment, and only then lets people decide on it: a word for the one
// before must not count for this one.
func (r *run) announce() <-chan decision {
	r.state.update(func(p *page.Snapshot) {
		p.Experiment = &page.Experiment{
			ID: r.Name, Number: r.number, Of: len(r.Plan.Experiments), Name: does(r.Experiment), Fault: r.Fault, Targets: r.Targets,
			Prediction: r.Predicted.String(), Undo: r.Undo,
		}
	})
	answer := r.state.ask()
	r.state.enter(page.Waiting, "%s waits for approval", r.Name)
	r.terminal.say("experiment %d of %d, %s: %s, for %s. Predicted: %s. Type: approve, skip, abort, or note and a text",
		r.number, len(r.Plan.Experiments), r.Name, does(r.Experiment), r.Hold, r.Predicted)
	return answer
}

// tell shows how the experiment ended.
func (r *run) tell(ok bool, outcome string) {
	r.state.update(func(p *page.Snapshot) {
		p.Done = append(p.Done, page.Done{Name: r.Name, Outcome: outcome, OK: ok})
	})
	r.terminal.say("%s: %s", r.Name, outcome)
}

// errInconclusive wraps why an experiment says nothing about its prediction.
var errInconclusive = errors.New("inconclusive")

// unproven is an experiment that came to no judgement, because of an error or of an abort.
func unproven(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = errors.Join(cause, err)
	}
	return fmt.Errorf("%w: %w", errInconclusive, err)
}

// carryOut takes the cluster from steady to broken and back.
func (r *run) carryOut(ctx context.Context) error {
	r.state.enter(page.Preparing, "waiting for a steady state")
	if err := r.awaitSteady(ctx); err != nil {
		return unproven(ctx, err)
	}
	r.state.enter(page.Breaking, "%s", r.Name)
	r.state.begin(&r.Experiment, r.predictedMargin())
	defer r.state.begin(nil, noMargin)
	guarded, stop := context.WithCancel(ctx)
	defer stop()
	go r.state.stand(guarded, r.findings)
	i, err := r.injector.Inject(ctx, r.hit.fault.WithTTL(time.Duration(r.Hold)+margin))
	if err != nil {
		r.undone = time.Now()
		if len(r.injector.Open()) > 0 {
			r.unwell = err
		}
		return unproven(ctx, err)
	}
	r.injection = i
	r.terminal.say("%s is broken: %s", r.Name, strings.ReplaceAll(i.Proof(), "\n", "; "))
	err = r.hold(ctx)
	if err == nil { // else it was ended before its time
		err = r.judge()
	}
	stop() // from here on an abort changes nothing about what was judged
	r.unwell = r.heal(context.WithoutCancel(ctx))
	return errors.Join(err, r.unwell)
}

// predictedMargin is how many members of etcd may still be lost while the fault holds.
func (r *run) predictedMargin() int {
	members := len(r.cluster.EtcdMembers())
	taken := 0
	for _, c := range r.hit.loss.Components {
		if c == clusters.Etcd {
			taken++
		}
	}
	for _, n := range r.hit.cut {
		taken += len(n.Instances(clusters.Etcd))
	}
	return members - taken - needed(r.cluster, clusters.Etcd)
}

const (
	// steadyFor is how long everything has to work before something is broken.
	steadyFor = 5 * time.Second
	// steadyTime limits the wait for it.
	steadyTime = 2 * time.Minute
)

func (r *run) awaitSteady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, steadyTime)
	defer cancel()
	return clusters.Await(ctx, time.Second, "a steady state", func(ctx context.Context) error {
		if seen := r.watch.seen(nil, steadyFor, steadyFor); seen.Samples == 0 || seen.ErrorRate > 0 {
			return fmt.Errorf("%.0f%% of %d requests failed within %s", 100*seen.ErrorRate, seen.Samples, steadyFor)
		}
		for _, f := range r.findings() {
			if f.Met {
				return fmt.Errorf("stop condition %s is met: %s, limit %s", f.Name, f.Value, f.Limit)
			}
		}
		return r.cluster.CheckShape(ctx)
	})
}

// hold keeps the fault for its time, or until the day is aborted.
func (r *run) hold(ctx context.Context) error {
	landed := r.injection.Instants().Landed
	until := landed.Add(time.Duration(r.Hold))
	r.state.update(func(p *page.Snapshot) { p.Experiment.Since, p.Experiment.Until = landed, until })
	r.state.enter(page.Holding, "%s holds until %s", r.Name, until.Format(time.TimeOnly))
	ticker := time.NewTicker(judgeEvery)
	defer ticker.Stop()
	for time.Now().Before(until) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		observed := r.observed()
		r.state.update(func(p *page.Snapshot) { p.Experiment.Observed = plan.Prediction(observed).String() })
	}
	return nil
}

// settled is how much of the past tells what goes on now.
const settled = 5 * time.Second

// observed is what the cluster does now, in the words of the model that predicts it.
func (r *run) observed() clusters.Outcome {
	now := r.watch.now()
	works := func(name probe.Name) bool {
		for _, t := range r.probes.Of(name) {
			if t.SuccessRatio(now-settled, now) < 0.5 {
				return false
			}
		}
		return true
	}
	o := clusters.Outcome{Writable: works(probe.Write)}
	o.Controlled = o.Writable && works(probe.Schedule) && works(probe.Reconcile)
	return o
}

// healing is how long a cluster may take to be well again. Its kubelets may remember crashes
// from before the game day.
func healing(t clusters.Timing) time.Duration {
	return t.WholeAgain(t.Profile.MaxRestartPeriod).Upper
}

// heal undoes the fault and waits until the cluster is well.
func (r *run) heal(ctx context.Context) error {
	r.state.enter(page.Undoing, "undoing %s", r.Name)
	undoing := time.Now()
	err := r.injection.Undo(ctx)
	r.undone = time.Now()
	if err != nil {
		return err
	}
	r.state.enter(page.Healing, "waiting until the cluster is well")
	ctx, cancel := context.WithTimeout(ctx, healing(r.cluster.Timing))
	defer cancel()
	if err := r.injection.AwaitHealed(ctx); err != nil {
		return err
	}
	if err := r.cluster.AwaitShape(ctx); err != nil {
		return err
	}
	took := time.Since(undoing).Seconds()
	r.entry.Observations = append(r.entry.Observations, record.Observation{
		Expected: "the cluster is well again", Observed: fmt.Sprintf("%.1f s after its undo began", took), OK: true,
		At: (r.watch.now() - r.began).Seconds(), Seconds: &took, Recovery: true,
	})
	return nil
}

// judge holds what is observed against the prediction, which speaks of a fault that is in effect.
func (r *run) judge() error {
	if r.injection.Expired() {
		return fmt.Errorf("%w: the nodes undid it themselves, as nobody else had after %s", errInconclusive, r.injection.Fault.TTL)
	}
	observed := r.observed()
	predicted := clusters.Outcome(r.Predicted)
	r.entry.Observations = append(r.entry.Observations, record.Observation{
		Expected: r.Predicted.String(), Observed: plan.Prediction(observed).String(), OK: observed == predicted, At: (r.watch.now() - r.began).Seconds(),
	})
	return compare(predicted, observed, time.Duration(r.Hold), r.cluster.Timing.LeaseTakeover().Upper)
}

// compare fails where something else was observed than predicted. It proves nothing when the
// fault was held for less than elections may take.
func compare(predicted, observed clusters.Outcome, held, least time.Duration) error {
	switch {
	case observed == predicted:
		return nil
	case held < least:
		return fmt.Errorf("%w: predicted: %s; observed: %s; it was held for %s, and elections may take %s", errInconclusive,
			plan.Prediction(predicted), plan.Prediction(observed), held, least)
	default:
		return fmt.Errorf("predicted: %s; observed: %s", plan.Prediction(predicted), plan.Prediction(observed))
	}
}

// verdict is what the end of an experiment says of its prediction, and why. An abort counts where it
// came before the judgement, and so is the error: what was judged before stays.
func verdict(err error, aborted string) (record.Verdict, string) {
	switch {
	case errors.Is(err, errAborted):
		return record.Inconclusive, "aborted: " + aborted
	case errors.Is(err, errInconclusive):
		return record.Inconclusive, err.Error()
	case err != nil:
		return record.Broken, err.Error()
	default:
		return record.Held, ""
	}
}

// conclude comes to the verdict and puts what was seen into the record.
func (r *run) conclude(err error) {
	e := &r.entry
	end := r.watch.now()
	e.Seconds = (end - r.began).Seconds()
	window := probe.Window{Start: r.began, Injected: end, Undone: end, End: end}
	if r.injection != nil {
		at := r.injection.Instants()
		window.Injected, window.Undone = r.probes.Clock().At(at.Injecting), r.probes.Clock().At(at.Undone)
		e.Faults = append(e.Faults, probe.FaultRecord(r.injection, r.probes.Clock().From(r.began)))
	}
	for _, t := range r.probes.Timelines() {
		e.Probes = append(e.Probes, t.Record(window))
	}
	e.States = r.probes.States().Record(window)
	e.Leases, e.EtcdLeaders = r.probes.Leases().Record(window), r.probes.Etcd().Record(window)
	_, aborted := r.state.abortedAt()
	e.Verdict, e.Reason = verdict(err, aborted)
	r.tell(e.Verdict.Passes(), r.account())
}

// account is the verdict with the prediction beside the observation.
func (r *run) account() string {
	text := string(r.entry.Verdict)
	for _, o := range r.entry.Observations {
		if o.Recovery {
			text += "; " + o.Expected + " " + o.Observed
		} else {
			text += "; predicted: " + o.Expected + "; observed: " + o.Observed
		}
	}
	if r.entry.Reason != "" {
		text += "; " + r.entry.Reason
	}
	return text
}
