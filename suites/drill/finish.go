package drill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/reports/record"
	"faultline/suites/probe"
)

// finish ends the drill whatever happened: faults are undone, the cluster is
// as good as new or marked as spoiled, acknowledged writes are audited, the
// verdict and, where it does not pass, the evidence are saved.
func (d *Drill) finish(ctx ginkgo.SpecContext) {
	if d.Cluster == nil {
		if !d.skipped {
			d.save()
		}
		return
	}
	unkept := d.unkeptAtTheEnd()
	begun := time.Now()
	d.step.Update("restoring the cluster")
	restored := d.restore(ctx)
	d.spend(&d.spent.Restoring, begun)
	if restored != nil {
		bench.spoiled = restored.Error()
	}
	d.noteDisturbance()
	d.phase = 0
	d.window = probe.Window{Injected: d.injected(), Undone: d.changed(), End: d.now()}
	if len(d.injections) == 0 {
		d.window.Injected, d.window.Undone = d.window.End, d.window.End
	}
	begun = time.Now()
	d.step.Update("auditing acknowledged writes")
	audited := d.audit(ctx)
	d.spend(&d.spent.Audit, begun)
	begun = time.Now()
	restored = errors.Join(restored, d.proveAsNew(ctx))
	d.spend(&d.spent.Restoring, begun)
	if d.inconclusive == "" {
		d.inconclusive = cmp.Or(d.expired(), d.starvation())
	}
	d.judge(ginkgo.CurrentSpecReport(), errors.Join(unkept, restored, audited))
	d.describe()
	if !d.experiment.Verdict.Passes() && !d.options.discard {
		d.experiment.Evidence = d.saveEvidence(ctx)
	}
	d.save()
	gomega.Expect(unkept).NotTo(gomega.HaveOccurred(), "what was promised until the end")
	gomega.Expect(restored).NotTo(gomega.HaveOccurred(), "the cluster is not as good as new")
	gomega.Expect(audited).NotTo(gomega.HaveOccurred(), "the audit of acknowledged writes")
	if !ginkgo.CurrentSpecReport().Failed() && d.inconclusive != "" && !d.options.discard {
		ginkgo.Fail("inconclusive: " + d.inconclusive)
	}
}

// unkeptAtTheEnd tells which promises were broken in a spec that passed and does not undo its
// fault itself.
func (d *Drill) unkeptAtTheEnd() error {
	if d.options.discard || ginkgo.CurrentSpecReport().Failed() {
		return nil
	}
	return d.unkept()
}

// restore undoes what is open and waits until the cluster is whole. After an
// interrupt the cluster is deleted anyway, and nobody waits for its health.
func (d *Drill) restore(ctx context.Context) error {
	if d.injector == nil {
		return nil
	}
	if err := d.injector.Restore(ctx); err != nil {
		return err
	}
	if interrupted(ginkgo.CurrentSpecReport().State) {
		return errors.New("the experiment was interrupted")
	}
	if d.maimed {
		bench.spoiled = "it has been changed for good"
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.Timing.WholeAgain(d.Outage()).Upper)
	defer cancel()
	if err := d.awaitHealed(ctx); err != nil {
		return err
	}
	begun := d.now()
	held, err := d.awaitShape(ctx)
	if err != nil {
		return err
	}
	if err := d.sweep(ctx); err != nil {
		return err
	}
	d.observe(record.Observation{
		Expected: "the cluster is whole again", OK: true,
		Observed: fmt.Sprintf("its shape was whole %s after the last undo%s", seconds(d.now()-d.changed()), held),
		Seconds:  floatOf(d.now() - min(begun, d.changed())),
	})
	return nil
}

// proveAsNew looks, once the probes have stopped, for what the experiment has left: members of
// etcd that differ, objects, packet rules, mounts, armed faults.
func (d *Drill) proveAsNew(ctx context.Context) error {
	if bench.spoiled != "" || interrupted(ginkgo.CurrentSpecReport().State) {
		return nil
	}
	d.step.Update("looking for what the experiment has left")
	err := bench.awaitAsNew(ctx)
	if err != nil {
		bench.spoiled = err.Error()
	}
	return d.Told("the cluster is as good as new", err)
}

// awaitShape waits until the cluster's shape is whole, and tells what kept it longest.
func (d *Drill) awaitShape(ctx context.Context) (held string, err error) {
	last, longest := d.now(), time.Duration(0)
	kept := map[string]time.Duration{}
	err = clusters.Await(ctx, 500*time.Millisecond, "the shape of "+d.Name, func(ctx context.Context) error {
		err := d.CheckShape(ctx)
		if err == nil {
			return nil
		}
		why := err.Error()
		kept[why] += d.now() - last
		last = d.now()
		if kept[why] > longest {
			longest, held = kept[why], fmt.Sprintf("; %s of it because %.200s", seconds(kept[why]), why)
		}
		return err
	})
	return held, err
}

func interrupted(state types.SpecState) bool {
	return state.Is(types.SpecStateInterrupted | types.SpecStateAborted)
}

// audit stops the probes and asks every API server for every acknowledged write.
func (d *Drill) audit(ctx context.Context) error {
	if d.probes == nil {
		return nil
	}
	if err := d.probes.Stop(); err != nil {
		bench.Progress.Printf("%s: %v", d.experiment.ID, err)
	}
	if interrupted(ginkgo.CurrentSpecReport().State) {
		return nil
	}
	listing, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	audit, err := d.probes.Ledger().Audit(listing, d.Cluster)
	d.experiment.Audit = &audit
	bench.retired = append(bench.retired, d.probes.Ledger())
	if err != nil {
		return err
	}
	if len(audit.Lost) > 0 || len(audit.Backwards) > 0 || audit.Missed > 0 {
		return fmt.Errorf("of %d acknowledged writes %d are lost (%.200v), %d were never delivered by a watch; resource versions went back on %v",
			audit.Acknowledged, len(audit.Lost), audit.Lost, audit.Missed, audit.Backwards)
	}
	return nil
}

// leastShare is the share of its samples that a probe has to take.
const leastShare = 0.6

// starvation tells whether the probes themselves came too late to be believed:
// then nothing that they did not see is proven.
func (d *Drill) starvation() string {
	if d.probes == nil {
		return ""
	}
	for _, t := range d.probes.Timelines() {
		if strings.HasPrefix(t.Vantage(), probe.InCluster("")) {
			continue // its samples are taken on a node that may be gone
		}
		if taken, due := t.Taken(steadyFor, d.window.End); float64(taken) < leastShare*float64(due) {
			return fmt.Sprintf("the probe %s took %d of %d samples: this machine was too busy", t, taken, due)
		}
		if gap := t.MaxGap(steadyFor/2, d.window.End); gap > time.Duration(d.Timing.Slack*float64(time.Second)) {
			return fmt.Sprintf("the probe %s took no sample for %s: this machine was too busy", t, seconds(gap))
		}
	}
	return ""
}

// judge comes to the verdict.
func (d *Drill) judge(spec types.SpecReport, afterwards error) {
	e := &d.experiment
	e.Seconds = d.now().Seconds()
	// The experiment's time begins with its probes, after the cluster.
	d.spent.Waiting = max(0, e.Seconds+d.spent.Cluster-d.spent.Own())
	e.Spent = &d.spent
	d.notePressure()
	switch {
	case interrupted(spec.State):
		e.Verdict, e.Reason = record.Inconclusive, "the experiment was interrupted"
	case d.inconclusive != "":
		e.Verdict, e.Reason = record.Inconclusive, d.inconclusive
	case spec.Failed():
		e.Verdict, e.Reason = record.Broken, reasonOf(spec.FailureMessage())
	case afterwards != nil:
		e.Verdict, e.Reason = record.Broken, afterwards.Error()
	case e.Drift != "":
		e.Verdict, e.Reason = record.Drifted, e.Drift
	default:
		e.Verdict = record.Held
	}
}

// describe puts what probes, observers and faults saw into the record.
func (d *Drill) describe() {
	if d.probes == nil {
		return
	}
	e := &d.experiment
	for _, i := range d.injections {
		e.Faults = append(e.Faults, probe.FaultRecord(i, d.clock))
	}
	e.Loses = d.losses()
	for _, t := range d.probes.Timelines() {
		e.Probes = append(e.Probes, t.Record(d.window))
	}
	e.EtcdLeaders = d.probes.Etcd().Record(d.window)
	e.Recoveries = d.recoveries()
	if d.Topology.Kubernetes() {
		e.Leases, e.States = d.probes.Leases().Record(d.window), d.probes.States().Record(d.window)
	}
}

// save writes the experiment's file, unless the drill was a sabotage run.
func (d *Drill) save() {
	d.step.End()
	if d.options.discard {
		gomega.Expect(bench.Dir.NoteSabotage(d.experiment.ID)).To(gomega.Succeed())
		bench.Progress.Printf("%s: %s (%.0f s) %s", d.experiment.ID, sabotageTold(ginkgo.CurrentSpecReport()), d.now().Seconds(), d.experiment.Name)
		return
	}
	if d.experiment.Verdict == "" {
		d.judge(ginkgo.CurrentSpecReport(), nil)
	}
	path := filepath.Join(bench.Dir.Experiments(), d.experiment.ID+".json")
	gomega.Expect(record.SaveJSON(path, d.experiment)).To(gomega.Succeed(), "save the experiment")
	bench.Progress.Printf("%s: %s (%.0f s) %s", d.experiment.ID, d.experiment.Verdict, d.experiment.Seconds, d.experiment.Name)
}

// sabotageTold is what a sabotage run came to.
func sabotageTold(spec types.SpecReport) string {
	switch {
	case interrupted(spec.State):
		return "interrupted"
	case spec.Failed():
		return "did not turn red as it must"
	}
	return "turned red, as it must"
}
