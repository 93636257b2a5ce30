package html

import (
	"html/template"
	"net/url"
	"path"
	"strings"

	"faultline/reports/internal/format"
	"faultline/reports/record"
)

// experiment is one experiment as the page shows it.
type experiment struct {
	*record.Experiment
	Anchor   string
	About    []record.Claim
	Recovery string
}

func newExperiment(run *record.Run, e *record.Experiment, names anchors) experiment {
	x := experiment{Experiment: shortNames(e), Anchor: names.name(e.ID), Recovery: format.Recovery(e)}
	for _, id := range e.Claims {
		x.About = append(x.About, run.Claim(id))
	}
	return x
}

// Timeline is drawn when the template asks for it: the drawings of a long run
// never are in memory all at once.
func (x experiment) Timeline() template.HTML { return drawTimeline(x.Experiment) }

// Drawn tells whether there is anything for a timeline to show.
func (x experiment) Drawn() bool {
	return len(x.Probes)+len(x.Leases)+len(x.EtcdLeaders)+len(x.Faults) > 0
}

// Open tells whether the experiment is unfolded at first: those to be acted upon.
func (x experiment) Open() bool { return !x.Verdict.Passes() }

// Ways are those that the timeline shows, for its legend.
func (x experiment) Ways() []way {
	seen := map[record.Way]bool{}
	for _, p := range x.Probes {
		for _, s := range p.Spans {
			seen[s.Way] = true
		}
	}
	var all []way
	for _, w := range ways {
		if seen[w.Way] {
			all = append(all, w)
		}
	}
	return all
}

// Phases are the stretches of the experiment, for the table.
func (x experiment) Phases() []phase { return phasesOf(x.Experiment) }

// Seen are the observations with their figures in words.
func (x experiment) Seen() []seen {
	all := make([]seen, len(x.Observations))
	for i, o := range x.Observations {
		all[i] = seen{Observation: o, Bounds: format.Bounds(o)}
		if o.Seconds != nil {
			all[i].Took = format.Seconds(*o.Seconds)
		}
	}
	return all
}

type seen struct {
	record.Observation
	Bounds, Took string
}

// Instants are the states that a fault went through, in order.
func (x experiment) Instants(f record.Fault) []fact {
	var all []fact
	for _, state := range record.FaultStates {
		if at, ok := f.Instants[state]; ok {
			all = append(all, fact{state, format.Seconds(at)})
		}
	}
	return all
}

// Files are the evidence as links relative to the page. A path that leads out of
// the folder is shown and not linked.
func (x experiment) Files() []file {
	all := make([]file, len(x.Evidence))
	for i, name := range x.Evidence {
		all[i].Name = name
		clean := path.Clean(strings.ReplaceAll(name, `\`, "/"))
		if !path.IsAbs(clean) && clean != ".." && !strings.HasPrefix(clean, "../") {
			// The dot keeps a colon in a file's name from reading as a scheme.
			all[i].Link = "./" + (&url.URL{Path: clean}).EscapedPath()
		}
	}
	return all
}

type file struct{ Name, Link string }

// AuditClean tells whether the audit found nothing amiss.
func (x experiment) AuditClean() bool {
	return len(x.Audit.Lost) == 0 && len(x.Audit.Backwards) == 0 && x.Audit.Missed == 0
}
