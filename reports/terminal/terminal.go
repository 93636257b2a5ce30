// Package terminal renders a record as a table for people at a terminal, or
// reading the log of one. What it draws itself is plain ASCII.
package terminal

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"faultline/reports/internal/format"
	"faultline/reports/record"
)

// Options say how to render.
type Options struct {
	Color bool
	// Width in columns; 0 means 120. Below 90 each row becomes a few lines.
	Width int
}

// Detect chooses options for a file: colour on a terminal unless NO_COLOR is
// set or TERM is dumb, and the terminal's width.
func Detect(f *os.File) Options {
	fd := int(f.Fd())
	if !term.IsTerminal(fd) {
		return Options{}
	}
	width, _, err := term.GetSize(fd)
	if err != nil {
		width = 0
	}
	return Options{Color: wantsColor(os.Getenv), Width: width}
}

func wantsColor(getenv func(string) string) bool {
	return getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
}

const (
	defaultWidth = 120
	tableWidth   = 90
	leastWidth   = 48
)

// row is one claim in one experiment.
type row struct {
	claim, topology, expected, observed, recovery string
	verdict                                       record.Verdict
}

// Write writes a row for each claim and experiment, then what is wrong, then
// the summary.
func Write(w io.Writer, run *record.Run, o Options) error {
	if o.Width <= 0 {
		o.Width = defaultWidth
	}
	o.Width = max(o.Width, leastWidth)
	out := &printer{Writer: bufio.NewWriter(w), paint: painter(o.Color), width: o.Width}
	if rows := rowsOf(run); len(rows) > 0 {
		if o.Width < tableWidth {
			out.blocks(rows)
		} else {
			out.table(rows)
		}
	}
	s := record.Summarise(run)
	out.problems(run, s)
	out.summary(run, s)
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the summary of the run: %w", err)
	}
	return nil
}

// rowsOf is ordered by claim as in the catalogue, then as the experiments ran.
func rowsOf(run *record.Run) []row {
	var rows []row
	for _, c := range record.Summarise(run).Verdicts {
		for i := range run.Experiments {
			if e := &run.Experiments[i]; slices.Contains(e.Claims, c.Claim) {
				rows = append(rows, rowOf(e, c.Claim))
			}
		}
	}
	for i := range run.Experiments {
		if e := &run.Experiments[i]; len(e.Claims) == 0 {
			rows = append(rows, rowOf(e, ""))
		}
	}
	return rows
}

func rowOf(e *record.Experiment, claim string) row {
	r := row{claim: plain(claim), topology: plain(e.Topology), recovery: format.Recovery(e), verdict: e.Verdict}
	seen, found := e.Decisive(claim)
	if found {
		r.expected, r.observed = plain(seen.Expected), plain(seen.Observed)
	}
	if r.expected == "" {
		r.expected = plain(e.Name)
	}
	if !e.Verdict.Passes() && (!found || seen.OK) {
		r.observed = plain(e.Reason)
	}
	if e.Verdict == record.Drifted && e.Drift != "" {
		r.observed = plain(e.Drift)
	}
	return r
}

// plain keeps control characters in a record away from the terminal.
func plain(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f && r < 0xa0 }), " ")
}

type printer struct {
	*bufio.Writer
	paint func(v record.Verdict, text string) string
	width int
}

// line leaves errors to the final Flush, which reports the first of them.
func (p *printer) line(text string) { _, _ = p.WriteString(strings.TrimRight(text, " ") + "\n") }

// problems lists what a reader must act on, worst last: that is what stays in
// view.
func (p *printer) problems(run *record.Run, s record.Summary) {
	for _, k := range run.Skipped {
		p.problem(record.Untested, "skipped", fmt.Sprintf("%s on %s: %s", k.Name, k.Topology, k.Reason))
	}
	for _, f := range s.Failures {
		p.problem(f.Verdict, string(f.Verdict), fmt.Sprintf("%s on %s: %s", f.Name, f.Topology, f.Reason))
		if f.Command != "" {
			p.line("  repeat: " + plain(f.Command)) // never wrapped: it is made to be copied
		}
	}
	if s.Gate != nil {
		p.gate(s.Gate)
	}
	for _, text := range run.Failures {
		p.problem(record.Broken, "harness error", text)
	}
	for _, text := range run.NotRestored {
		p.problem(record.Broken, "not restored", text)
	}
	if run.Refused != "" {
		p.problem(record.Broken, "refused", run.Refused)
	}
}

// gate tells what the policy found. What it tolerates is noted.
func (p *printer) gate(g *record.Gate) {
	for _, f := range g.Told() {
		switch f.Outcome {
		case record.OutcomeHeld:
			p.problem(record.Untested, "noted", f.Text)
		case record.OutcomeInconclusive:
			p.problem(record.Inconclusive, string(f.Outcome), f.Text)
		default:
			p.problem(record.Broken, string(f.Outcome), f.Text)
		}
	}
	for _, text := range g.Unreadable {
		p.problem(record.Untested, "not in the history", text)
	}
}

func (p *printer) problem(v record.Verdict, kind, text string) {
	lines := wrap(kind+": "+plain(text), p.width-2)
	lines[0] = strings.Replace(lines[0], kind, p.paint(v, kind), 1)
	for i, l := range lines {
		if i > 0 {
			l = "  " + l
		}
		p.line(l)
	}
}

func (p *printer) summary(run *record.Run, s record.Summary) {
	told := len(run.Skipped) + len(s.Failures) + len(s.Harness) + len(s.NotRestored)
	if s.Gate != nil {
		told += len(s.Gate.Told()) + len(s.Gate.Unreadable)
	}
	if told > 0 || s.Refused != "" {
		p.line("")
	}
	verdict := record.Broken
	switch s.Outcome {
	case record.OutcomeHeld:
		verdict = record.Held
	case record.OutcomeInconclusive:
		verdict = record.Inconclusive
	default:
	}
	first := fmt.Sprintf("%s in %s: %s", format.Count(s.Experiments.Total, "experiment"), format.Seconds(run.Seconds), format.Counts(s.Experiments))
	if m, ok := record.MedianRecovery(run.Experiments); ok {
		first += "; median recovery " + format.Seconds(m)
	}
	p.line(p.paint(verdict, strings.ToUpper(string(s.Outcome))) + "  run " + plain(run.ID))
	texts := []string{first, format.Count(s.Claims.Total, "claim") + ": " + format.Counts(s.Claims)}
	if s.Sabotaged > 0 {
		var took float64
		for _, sabotage := range run.Sabotaged {
			took += sabotage.Seconds
		}
		texts = append(texts, format.Sabotaged(s.Sabotaged)+", in "+format.Seconds(took))
	}
	if spent, known := record.TotalSpent(run.Experiments); known {
		texts = append(texts, fmt.Sprintf("time: %s waiting for Kubernetes, %s clusters, %s faults, %s steady states, %s restoring and audits",
			format.Seconds(spent.Waiting), format.Seconds(spent.Cluster), format.Seconds(spent.Faults), format.Seconds(spent.Steady),
			format.Seconds(spent.Restoring+spent.Audit)))
	}
	for _, shard := range s.Shards {
		texts = append(texts, fmt.Sprintf("merged from run %s: %s", plain(shard.Name), plain(format.Machine(shard.Environment))))
	}
	for _, text := range texts {
		for _, l := range wrap(text, p.width) {
			p.line(l)
		}
	}
}

// mark tells a verdict by sign and word, so that colour is never needed.
func mark(v record.Verdict) string {
	signs := map[record.Verdict]string{record.Held: "+", record.Drifted: "~", record.Broken: "x"}
	sign, ok := signs[v]
	if !ok {
		sign = "?"
	}
	return sign + " " + string(v)
}

func painter(color bool) func(record.Verdict, string) string {
	if !color {
		return func(_ record.Verdict, text string) string { return text }
	}
	codes := map[record.Verdict]string{record.Held: "32", record.Drifted: "36", record.Broken: "1;31"}
	return func(v record.Verdict, text string) string {
		code, ok := codes[v]
		if !ok {
			code = "33"
		}
		return "\x1b[" + code + "m" + text + "\x1b[0m"
	}
}
