// Package markdown renders a record as a summary for the page of a CI job, and
// as annotations of it.
package markdown

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"faultline/reports/internal/format"
	"faultline/reports/record"
)

// Limit is the size in bytes up to which GitHub shows a summary; it refuses a
// larger one as a whole.
const Limit = 1 << 20

// Write writes the summary in at most limit bytes: the verdict first, then what a
// reader must act on, then what is good to know. What does not fit is left out
// from the end, and each section says how much it lacks.
func Write(w io.Writer, run *record.Run, limit int) error {
	page := head(run)
	sections := slices.DeleteFunc([]section{outside(run), failures(run), drifts(run), recoveries(run), untested(run)}, section.empty)
	room := limit - len(page)
	for _, s := range sections {
		room -= len(s.opening) + len(s.missing(len(s.rows)))
	}
	if room < 0 {
		return fmt.Errorf("write the Markdown summary: %d bytes are too few, it takes %d without its details", limit, limit-room)
	}
	for _, s := range sections {
		text, taken := s.fit(room)
		page += text
		room -= taken
	}
	if _, err := io.WriteString(w, page); err != nil {
		return fmt.Errorf("write the Markdown summary: %w", err)
	}
	return nil
}

// section is a heading with what introduces it, and rows that may be left out.
type section struct {
	opening string
	rows    []string
}

func (s section) empty() bool { return s.opening == "" }

// fit takes as many rows as there is room for.
func (s section) fit(room int) (text string, taken int) {
	var b strings.Builder
	b.WriteString(s.opening)
	for i, row := range s.rows {
		if taken+len(row) > room {
			b.WriteString(s.missing(len(s.rows) - i))
			break
		}
		b.WriteString(row)
		taken += len(row)
	}
	return b.String(), taken
}

// missing says how many rows are left out.
func (s section) missing(n int) string {
	return fmt.Sprintf("\n**Left out for size: %d of %d.** `report.html` has all.\n", n, len(s.rows))
}

func head(run *record.Run) string {
	s := record.Summarise(run)
	page := fmt.Sprintf("## Faultline: %s\n\n%s in %s: %s", Text(string(s.Outcome)),
		format.Count(s.Experiments.Total, "experiment"), format.Seconds(run.Seconds), format.Counts(s.Experiments))
	if m, ok := record.MedianRecovery(run.Experiments); ok {
		page += "; median recovery " + format.Seconds(m)
	}
	page += fmt.Sprintf(".\n%s: %s.\n", format.Count(s.Claims.Total, "claim"), format.Counts(s.Claims))
	if s.Sabotaged > 0 {
		page += format.Sabotaged(s.Sabotaged) + ".\n"
	}
	e := run.Environment
	facts := []string{"Run " + Text(run.ID)}
	for _, f := range [][2]string{{"Kubernetes", e.Kubernetes}, {"etcd", e.Etcd}, {"engine", e.Engine}, {"profile", e.Profile}, {"Faultline", e.FaultlineVersion}} {
		if f[1] != "" {
			facts = append(facts, f[0]+" "+Text(f[1]))
		}
	}
	if e.Seed != 0 {
		facts = append(facts, "seed "+strconv.FormatInt(e.Seed, 10))
	}
	return page + "\n" + strings.Join(facts, " · ") + "\n"
}

// outside is what went wrong outside the experiments.
func outside(run *record.Run) section {
	var s section
	add := func(kind, what string) { s.rows = append(s.rows, "- **"+kind+"**: "+Text(what)+"\n") }
	if run.Refused != "" {
		add("refused", run.Refused)
	}
	for _, what := range run.NotRestored {
		add("not restored", what)
	}
	for _, what := range run.Failures {
		add("harness error", what)
	}
	if len(s.rows) > 0 {
		s.opening = "\n### Outside the experiments\n\n"
	}
	return s
}

// failures are the experiments that do not pass, the broken ones first.
func failures(run *record.Run) section {
	var s section
	for _, broken := range []bool{true, false} {
		for i := range run.Experiments {
			if e := &run.Experiments[i]; !e.Verdict.Passes() && (e.Verdict == record.Broken) == broken {
				s.rows = append(s.rows, failure(run, e))
			}
		}
	}
	if len(s.rows) > 0 {
		s.opening = "\n### What does not hold\n"
	}
	return s
}

func failure(run *record.Run, e *record.Experiment) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n#### %s: %s, on %s\n\n", Text(string(e.Verdict)), Text(e.Name), Text(e.Topology))
	for _, id := range e.Claims {
		fmt.Fprintf(&b, "- claim %s: %s\n", Text(id), Text(run.Claim(id).Statement))
	}
	for _, o := range e.Observations {
		if !o.OK {
			b.WriteString("- " + observation(o) + "\n")
		}
	}
	if e.Pressure != nil {
		b.WriteString("- meanwhile " + Text(format.Pressure(e.Pressure)) + "\n")
	}
	if e.Reason != "" {
		b.WriteString("\n" + fence("text", e.Reason))
	}
	if e.Command != "" {
		b.WriteString("\nRepeat it with:\n\n" + fence("sh", e.Command))
	}
	return b.String()
}

func observation(o record.Observation) string {
	line := "expected " + Text(o.Expected) + "; observed " + Text(o.Observed)
	if o.Seconds != nil {
		line += "; took " + format.Seconds(*o.Seconds)
		if bounds := format.Bounds(o); bounds != "" {
			line += ", allowed " + bounds
		}
	}
	return line
}

// drifts is the register of what is different today, in the order of the claims.
func drifts(run *record.Run) section {
	var s section
	for _, c := range record.Summarise(run).Verdicts {
		claim := run.Claim(c.Claim)
		for i := range run.Experiments {
			e := &run.Experiments[i]
			if e.Verdict == record.Drifted && slices.Contains(e.Claims, claim.ID) {
				s.rows = append(s.rows, row(Text(claim.ID), Text(e.Topology), Text(claim.Statement), Text(cmp.Or(e.Drift, claim.Drift))))
			}
		}
	}
	if len(s.rows) > 0 {
		s.opening = "\n### What has drifted\n\n" + row("Claim", "Layout", "The document says", "Today") + row("---", "---", "---", "---")
	}
	return s
}

// recoveries has the slowest first.
func recoveries(run *record.Run) section {
	var slowest []record.Experiment
	for _, e := range run.Experiments {
		if _, ok := e.Recovery(); ok {
			slowest = append(slowest, e)
		}
	}
	slices.SortStableFunc(slowest, func(a, b record.Experiment) int {
		left, _ := a.Recovery()
		right, _ := b.Recovery()
		return cmp.Compare(right, left)
	})
	var s section
	for i := range slowest {
		e := &slowest[i]
		s.rows = append(s.rows, row(format.Recovery(e), allowed(e), Text(e.Name), Text(e.Topology), Text(strings.Join(e.Claims, " ")), Text(string(e.Verdict))))
	}
	if len(s.rows) > 0 {
		s.opening = "\n### Recovery times\n\n" + row("Recovery", "Allowed", "Experiment", "Layout", "Claims", "Verdict") + row("---:", "---", "---", "---", "---", "---")
	}
	return s
}

// allowed is what the recovery time was held against.
func allowed(e *record.Experiment) string {
	longest, _ := e.Recovery()
	for _, o := range e.Observations {
		if o.Recovery && o.Seconds != nil && *o.Seconds == longest {
			return format.Bounds(o)
		}
	}
	return ""
}

func untested(run *record.Run) section {
	claims := record.Summarise(run).Claims
	if len(run.Skipped)+claims.Untested == 0 {
		return section{}
	}
	s := section{opening: fmt.Sprintf("\n### What was not tested\n\n%d of %s had no experiment; %s left out.\n\n",
		claims.Untested, format.Count(claims.Total, "claim"), format.Count(len(run.Skipped), "experiment"))}
	for _, k := range run.Skipped {
		s.rows = append(s.rows, "- skipped: "+Text(k.Name)+", on "+Text(k.Topology)+": "+Text(k.Reason)+"\n")
	}
	return s
}

func row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |\n" }
