package record

import "slices"

// Recovery is the experiment's recovery time: the longest of the durations that
// are marked as one.
func (e *Experiment) Recovery() (seconds float64, measured bool) {
	for _, o := range e.Observations {
		if o.Recovery && o.Seconds != nil && (!measured || *o.Seconds > seconds) {
			seconds, measured = *o.Seconds, true
		}
	}
	return seconds, measured
}

// MedianRecovery is the median recovery time of the experiments that have one.
func MedianRecovery(experiments []Experiment) (seconds float64, measured bool) {
	var all []float64
	for i := range experiments {
		if s, ok := experiments[i].Recovery(); ok {
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	return Median(all), true
}

// Median is the middle of at least one value, or between the two in the middle.
func Median(values []float64) float64 {
	all := slices.Sorted(slices.Values(values))
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// TotalSpent adds up what the experiments' time went into, where that is known.
func TotalSpent(experiments []Experiment) (total Spent, known bool) {
	for _, e := range experiments {
		if s := e.Spent; s != nil {
			total.Cluster += s.Cluster
			total.Steady += s.Steady
			total.Faults += s.Faults
			total.Waiting += s.Waiting
			total.Restoring += s.Restoring
			total.Audit += s.Audit
			known = true
		}
	}
	return total, known
}

// Decisive is the observation that says most about the claim in one line: one
// that failed, else the first. Those of the claim come before those of no claim,
// and these before those of other claims, save that a failure in an experiment
// that does not pass concerns every claim. A recovery comes last of its kind: its
// figure has a place of its own in every report.
func (e *Experiment) Decisive(claim string) (Observation, bool) {
	var best Observation
	rank := 0
	for _, o := range e.Observations {
		if r := e.weight(o, claim); r > rank {
			best, rank = o, r
		}
	}
	return best, rank > 0
}

func (e *Experiment) weight(o Observation, claim string) int {
	own, common := o.Claim == claim, o.Claim == ""
	switch {
	case own && !o.OK:
		return 7
	case common && !o.OK:
		return 6
	case !o.OK && !e.Verdict.Passes():
		return 5
	case own && !o.Recovery:
		return 4
	case own:
		return 3
	case !o.Recovery:
		return 2
	default:
		return 1
	}
}

// Instant is when the experiment's faults reached the state: the first of them
// for planned, armed and injected, the last for landed, undone and healed.
func (e *Experiment) Instant(state string) (at float64, reached bool) {
	early := slices.Index(FaultStates, state) <= slices.Index(FaultStates, "injected")
	for _, f := range e.Faults {
		t, ok := f.Instants[state]
		if ok && (!reached || (t < at) == early) {
			at, reached = t, true
		}
	}
	return at, reached
}

// Topologies are the run's topologies in the order of their first experiment.
func (r *Run) Topologies() []string {
	var names []string
	for _, e := range r.Experiments {
		if !slices.Contains(names, e.Topology) {
			names = append(names, e.Topology)
		}
	}
	return names
}

// Claim finds a claim of the run by its id. Where the catalogue lacks it, only
// the id is known.
func (r *Run) Claim(id string) Claim {
	i := slices.IndexFunc(r.Claims, func(c Claim) bool { return c.ID == id })
	if i < 0 {
		return Claim{ID: id}
	}
	return r.Claims[i]
}
