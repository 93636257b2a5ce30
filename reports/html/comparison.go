package html

import (
	"bufio"
	"cmp"
	"fmt"
	"html/template"
	"io"
	"slices"

	"faultline/reports/internal/format"
	"faultline/reports/record"
)

// WriteComparison writes the page that puts two runs side by side. How far recovery times
// scatter is told by the earlier runs that the later one was judged beside. report is the
// address of the later one's own page; empty: there is none to lead to.
func WriteComparison(w io.Writer, before, after *record.Run, report string) error {
	out := bufio.NewWriterSize(w, 1<<16)
	if err := page.ExecuteTemplate(out, "comparison.gohtml", newContrast(before, after, report)); err != nil {
		return fmt.Errorf("render the comparison of two runs: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the comparison of two runs: %w", err)
	}
	return nil
}

// contrast is two runs as the page compares them.
type contrast struct {
	Before, After *record.Run
	Headline      string
	Mood          record.Verdict
	Differences   []difference // of what the figures depend on
	Rows          []pair
	Gone, New     []*record.Experiment
}

type difference struct{ Name, Before, After string }

// pair is an experiment that both runs have.
type pair struct {
	Name, Topology, Link string
	Before, After        side
	Past                 spread
	Change               change
	Strip                template.HTML
}

// side is an experiment in one of the runs.
type side struct {
	Verdict  record.Verdict
	Seconds  float64
	Measured bool
	Recovery string
}

// change is how a recovery time compares with earlier runs.
type change int

// The changes. With too few earlier runs a difference is no more than that.
const (
	unknown change = iota
	usual
	faster
	slower
)

// Sign tells the change without colour.
func (c change) Sign() string { return [...]string{"", "=", "▼", "▲"}[c] }

// Meaning tells the change in words.
func (c change) Meaning() string {
	return [...]string{"", "as in earlier runs", "faster than every earlier run", "slower than earlier runs let expect"}[c]
}

func newContrast(before, after *record.Run, report string) *contrast {
	x := &contrast{Before: before, After: after, Differences: differences(before.Environment, after.Environment)}
	was, is, names := byKey(before), byKey(after), anchors{}
	for i := range after.Experiments {
		e := &after.Experiments[i]
		anchor := names.name(e.ID)
		switch old := was[keyOf(e)]; {
		case is[keyOf(e)] != e: // an earlier attempt
		case old == nil:
			x.New = append(x.New, e)
		default:
			p := newPair(old, e, earlier(after.Gate, e))
			if report != "" {
				p.Link = report + "#" + anchor
			}
			x.Rows = append(x.Rows, p)
		}
	}
	for i := range before.Experiments {
		if e := &before.Experiments[i]; is[keyOf(e)] == nil {
			x.Gone = append(x.Gone, e)
		}
	}
	slices.SortStableFunc(x.Rows, func(a, b pair) int { return cmp.Compare(b.rank(), a.rank()) })
	x.Headline, x.Mood = x.judge()
	return x
}

// key is an experiment across runs: its id is only its number in one of them.
type key struct{ name, topology string }

func keyOf(e *record.Experiment) key { return key{e.Name, e.Topology} }

// byKey has the last attempt of each experiment.
func byKey(run *record.Run) map[key]*record.Experiment {
	all := map[key]*record.Experiment{}
	for i := range run.Experiments {
		all[keyOf(&run.Experiments[i])] = &run.Experiments[i]
	}
	return all
}

// earlier is how the experiment's longest recovery compares with earlier runs; nil where
// nobody has judged the run.
func earlier(g *record.Gate, e *record.Experiment) *record.Comparison {
	var longest *record.Comparison
	if g != nil {
		for i := range g.Comparisons {
			if c := &g.Comparisons[i]; c.Experiment == e.ID && (longest == nil || c.Seconds > longest.Seconds) {
				longest = c
			}
		}
	}
	return longest
}

func newPair(before, after *record.Experiment, past *record.Comparison) pair {
	p := pair{Name: after.Name, Topology: after.Topology, Before: sideOf(before), After: sideOf(after), Past: spreadOf(past)}
	if past != nil && past.Limit != nil && len(p.Past) > 0 {
		switch {
		case past.Regressed:
			p.Change = slower
		case past.Seconds < p.Past.least():
			p.Change = faster
		default:
			p.Change = usual
		}
	}
	p.Strip = p.draw()
	return p
}

func sideOf(e *record.Experiment) side {
	s := side{Verdict: e.Verdict, Recovery: format.Recovery(e)}
	s.Seconds, s.Measured = e.Recovery()
	return s
}

// Difference is what the recovery takes more or less than before.
func (p pair) Difference() string {
	if !p.Before.Measured || !p.After.Measured {
		return ""
	}
	d := p.After.Seconds - p.Before.Seconds
	if d > 0 {
		return "+" + format.Seconds(d)
	}
	return format.Seconds(d)
}

// Worse tells whether the verdict got worse.
func (p pair) Worse() bool {
	return p.After.Verdict != p.Before.Verdict && record.Worse(p.Before.Verdict, p.After.Verdict) == p.After.Verdict
}

// rank puts first what is to be looked at.
func (p pair) rank() int {
	switch {
	case p.Worse():
		return 3
	case p.Change == slower:
		return 2
	case p.After.Verdict != p.Before.Verdict || p.Change == faster:
		return 1
	default:
		return 0
	}
}

func (x *contrast) judge() (string, record.Verdict) {
	worse, late := 0, 0
	for _, p := range x.Rows {
		if p.Worse() {
			worse++
		}
		if p.Change == slower {
			late++
		}
	}
	switch {
	case len(x.Rows) == 0:
		return "The runs have no experiment in common", record.Inconclusive
	case worse > 0 && late > 0:
		return format.Count(worse, "verdict") + " got worse, " + format.Count(late, "recovery time") + " grew", record.Broken
	case worse > 0:
		return format.Count(worse, "verdict") + " got worse", record.Broken
	case late > 0:
		return format.Count(late, "recovery time") + " grew beyond what earlier runs let expect", record.Inconclusive
	default:
		return "Nothing got worse", record.Held
	}
}

// Judged tells whether earlier runs say what is usual for anything.
func (x *contrast) Judged() bool {
	return slices.ContainsFunc(x.Rows, func(p pair) bool { return p.Change != unknown })
}

// differences are the parts of the environment that differ: figures of runs on
// different ground are no more than side by side.
func differences(before, after record.Environment) []difference {
	old := map[string]string{}
	for _, f := range environment(before) {
		old[f.Name] = f.Value
	}
	var all []difference
	for _, f := range environment(after) {
		if old[f.Name] != f.Value {
			all = append(all, difference{f.Name, cmp.Or(old[f.Name], "unknown"), f.Value})
		}
		delete(old, f.Name)
	}
	for _, f := range environment(before) {
		if _, left := old[f.Name]; left {
			all = append(all, difference{f.Name, f.Value, "unknown"})
		}
	}
	return all
}
