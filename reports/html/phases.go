package html

import "faultline/reports/record"

// phase is a stretch of an experiment between two instants of its faults.
type phase struct {
	Name, Class, Meaning string
	From, To             float64
}

// Length is the duration in seconds.
func (p phase) Length() float64 { return p.To - p.From }

// phasesOf leaves out phases whose beginning was never reached or that took no
// time. A phase whose end was never reached lasts to the end of the experiment.
func phasesOf(e *record.Experiment) []phase {
	marks := []struct{ state, name, class, meaning string }{
		{"", "steady state", "calm", "all probes green before anything is done"},
		{"armed", "arming", "calm", "undo journalled, timer set on the node"},
		{"injected", "landing", "fault", "the fault is injected and not proved yet"},
		{"landed", "loss", "fault", "the fault holds"},
		{"undone", "healing", "healing", "the fault is undone and not proved healed"},
		{"healed", "recovery", "healing", "the fault is gone, the system comes back"},
		{"recovered", "after", "calm", "everything answers again"},
	}
	var phases []phase
	end := horizon(e)
	for _, m := range marks {
		at, reached := instant(e, m.state)
		if !reached {
			continue
		}
		if n := len(phases); n > 0 {
			at = max(at, phases[n-1].From)
			phases[n-1].To = at
		}
		phases = append(phases, phase{m.name, m.class, m.meaning, at, max(at, end)})
	}
	some := phases[:0]
	for _, p := range phases {
		if p.Length() > 0 {
			some = append(some, p)
		}
	}
	return some
}

// instant also knows the start, and the end of the last recovery that was seen.
func instant(e *record.Experiment, state string) (at float64, reached bool) {
	switch state {
	case "":
		return 0, true
	case "recovered":
		for _, o := range e.Observations {
			if o.Recovery {
				at, reached = max(at, o.At), true
			}
		}
		return at, reached
	default:
		return e.Instant(state)
	}
}

// horizon is the end of all that the experiment shows.
func horizon(e *record.Experiment) float64 {
	end := e.Seconds
	for _, p := range e.Probes {
		if n := len(p.Spans); n > 0 {
			end = max(end, p.Spans[n-1].To)
		}
	}
	for _, f := range e.Faults {
		for _, at := range f.Instants {
			end = max(end, at)
		}
	}
	return max(end, 0.001)
}
