package drill

import (
	"cmp"
	"math"
	"slices"
	"time"

	"faultline/clusters"
	"faultline/reports/record"
	"faultline/suites/probe"
)

// step is what a recovery is measured from: a fault or an undo, or several that follow each
// other at once.
type step struct {
	name string
	undo bool
	// at is when it began to act, done when the fault had landed or was undone.
	at, done time.Duration
}

// sameStep is how soon after a step another of its kind belongs to it.
const sameStep = 2 * time.Second

// blip is how short an outage may be to say nothing about a recovery: on a busy machine
// single requests fail at any time.
const blip = 250 * time.Millisecond

// never is later than any instant.
const never = time.Duration(math.MaxInt64)

// recoveries splits what followed each fault and each undo into its phases.
func (d *Drill) recoveries() []record.Recovery {
	h := history{
		steps: d.steps(), etcd: d.probes.Etcd().Changes(), end: d.window.End,
		schedulers: d.probes.Leases().Changes(clusters.Scheduler), controllers: d.probes.Leases().Changes(clusters.ControllerManager),
	}
	for _, t := range d.probes.Timelines() {
		h.probes = append(h.probes, watched{t.Name(), outagesOf(t.Samples(0, h.end), resumeProof(t))})
	}
	return h.recoveries()
}

// steps are the faults and the undos. Where nothing outlives a fault, its undo does nothing.
func (d *Drill) steps() []step {
	var all []step
	for _, i := range d.injections {
		at, name := i.Instants(), i.Fault.String()
		all = append(all, step{name: name, at: d.clock.At(at.Injecting), done: d.clock.At(at.Landed)})
		if i.Lasts() && !at.Undone.IsZero() {
			all = append(all, step{name: name, undo: true, at: d.clock.At(at.Undoing), done: d.clock.At(at.Undone)})
		}
	}
	return merged(all)
}

// merged sorts steps, and makes one of those of a kind that follow each other at once.
func merged(steps []step) []step {
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	var all []step
	for _, s := range steps {
		if n := len(all); n > 0 && all[n-1].undo == s.undo && s.at-all[n-1].done < sameStep {
			all[n-1].name += " and " + s.name
			all[n-1].done = s.done
			continue
		}
		all = append(all, s)
	}
	return all
}

func (s step) String() string {
	if s.undo {
		return "undo of " + s.name
	}
	return s.name
}

// history is what was done to a cluster, and what was seen of it.
type history struct {
	steps                   []step
	probes                  []watched
	etcd                    []probe.EtcdView
	schedulers, controllers []probe.LeaseView
	end                     time.Duration
}

// watched is a probe at one vantage point.
type watched struct {
	name    probe.Name
	outages []outage
}

// outage is a time in which a probe's requests failed.
type outage struct {
	// from is when the first request was sent that failed, known when one had failed.
	from, known time.Duration
	// to is when the first success arrived that no failure followed for a while.
	to time.Duration
}

// outagesOf finds the outages in samples in the order of their sending. Successes between two
// failures end an outage when they go on for as long as the proof takes.
func outagesOf(samples []probe.Sample, proof time.Duration) []outage {
	var all []outage
	down := false
	for _, s := range samples {
		last := len(all) - 1
		switch {
		case s.Blind:
		case s.Way == record.Up && down:
			all[last].to, down = s.Done(), false
		case !s.Down():
		case down:
			all[last].known = min(all[last].known, s.Done())
		case last >= 0 && s.At-all[last].to < proof:
			all[last].to, down = never, true
		default:
			all, down = append(all, outage{s.At, s.Done(), never}), true
		}
	}
	return all
}

// span is the time from one step to the next.
type span struct{ from, to time.Duration }

// recoveries leaves out an undo after which nothing came back.
func (h history) recoveries() []record.Recovery {
	var all []record.Recovery
	for n, s := range h.steps {
		within := span{s.at, h.end}
		if n+1 < len(h.steps) {
			within.to = h.steps[n+1].at
		}
		phases := h.phases(s, within)
		if !s.undo || len(phases) > 1 {
			all = append(all, record.Recovery{After: s.String(), At: s.at.Seconds(), Phases: phases})
		}
	}
	return all
}

func (h history) phases(s step, within span) []record.Phase {
	var all []record.Phase
	add := func(name string, at time.Duration) {
		if at != never {
			all = append(all, record.Phase{Name: name, Seconds: (at - s.at).Seconds()})
		}
	}
	if s.undo {
		add(record.PhaseUndone, s.done)
	} else {
		add(record.PhaseLanded, s.done)
		add(record.PhaseDetected, h.detected(within))
	}
	add(record.PhaseEtcdLeader, h.elected(within))
	add(record.PhaseAPIReady, ended(h.ofAPI(), within))
	add(record.PhaseSchedulerLease, handedOver(h.schedulers, within))
	add(record.PhaseControllerManagerLease, handedOver(h.controllers, within))
	add(record.PhasePodBound, ended(h.of(probe.Schedule), within))
	add(record.PhaseReconciled, ended(h.of(probe.Reconcile), within))
	add(record.PhaseWorkloadServing, ended(h.of(probe.Workload, probe.Service), within))
	return all
}

// detected is when the first request had failed of a probe that was up.
func (h history) detected(within span) time.Duration {
	first := never
	for _, p := range h.probes {
		for _, o := range p.outages {
			if o.from >= within.from && o.from < within.to {
				first = min(first, o.known)
			}
		}
	}
	return first
}

// elected is when etcd had another leader than before, or had one again: never where it has
// none in the end.
func (h history) elected(within span) time.Duration {
	var before, last probe.EtcdView
	first := never
	for _, v := range h.etcd {
		switch {
		case v.At >= within.to:
		case v.At <= within.from:
			before, last = v, v
		default:
			if last = v; v.Leader != "" && (v.Leader != before.Leader || v.Term > before.Term) {
				first = min(first, v.At)
			}
		}
	}
	if last.Leader == "" {
		return never
	}
	return first
}

// handedOver is when a lock had another holder than before.
func handedOver(views []probe.LeaseView, within span) time.Duration {
	if _, after := successor(views, within.from); after.Holder != "" && after.At < within.to {
		return after.At
	}
	return never
}

// of lists the outages of some probes at all their vantage points.
func (h history) of(names ...probe.Name) []outage {
	var all []outage
	for _, p := range h.probes {
		if slices.Contains(names, p.name) {
			all = append(all, p.outages...)
		}
	}
	return all
}

// ofAPI lists the times in which nothing could be written, through the cluster's front or,
// where there is only etcd, through any of its members.
func (h history) ofAPI() []outage {
	all := []outage{{to: never}}
	for _, p := range h.probes {
		if p.name == probe.Write || p.name == probe.Put {
			all = shared(all, p.outages)
		}
	}
	return all
}

// shared lists the times that are in an outage of both.
func shared(a, b []outage) []outage {
	var all []outage
	for _, x := range a {
		for _, y := range b {
			if o := (outage{from: max(x.from, y.from), to: min(x.to, y.to)}); o.from < o.to {
				all = append(all, o)
			}
		}
	}
	return all
}

// ended is when the last of the outages ended within the time: never where one lasts beyond it.
func ended(outages []outage, within span) time.Duration {
	last := never
	for _, o := range outages {
		switch {
		case o.to-o.from < blip, o.to < within.from, o.from >= within.to:
		case o.to >= within.to:
			return never
		case last == never || o.to > last:
			last = o.to
		}
	}
	return last
}
