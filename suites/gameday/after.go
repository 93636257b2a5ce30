package gameday

import (
	"fmt"
	"io"
	"strings"
	"time"

	"faultline/reports/markdown"
	"faultline/reports/record"
	"faultline/suites/gameday/plan"
)

// Write tells the day in Markdown: timeline, findings, follow-ups, notes, and the proof that
// the cluster is as before.
func Write(w io.Writer, p plan.Plan, o Outcome, started time.Time) error {
	var text strings.Builder
	fmt.Fprintf(&text, "# Game day on %s, %s\n\n", markdown.Text(p.Target.Name), started.Format(time.DateOnly))
	fmt.Fprintf(&text, "Cluster at %s, authority %s, UID %s, consent %s.\n", markdown.Text(p.Target.Server), p.Target.CA, p.Target.UID, p.Target.Consent)
	if o.Aborted != "" {
		fmt.Fprintf(&text, "\n**Aborted: %s.** Everything was undone %.2f s later.\n", markdown.Text(o.Aborted), o.Undone.Seconds())
	}
	text.WriteString("\n## Timeline\n\n| at | experiment | predicted | observed | recovery | verdict |\n|---|---|---|---|---|---|\n")
	for _, e := range o.Experiments {
		fmt.Fprintf(&text, "| %s | %s | %s | %s | %s | %s |\n", e.StartedAt.Format(time.TimeOnly), markdown.Text(e.Name),
			markdown.Text(expected(e)), markdown.Text(observedOf(e)), recovery(e), e.Verdict)
	}
	writeFindings(&text, o)
	text.WriteString("\n## Notes\n\n")
	for _, n := range o.Notes {
		fmt.Fprintf(&text, "- %s %s\n", n.At.Format(time.TimeOnly), markdown.Text(n.Text))
	}
	if len(o.Notes) == 0 {
		text.WriteString("None were taken.\n")
	}
	writeProof(&text, o)
	_, err := io.WriteString(w, text.String())
	return err
}

func expected(e record.Experiment) string {
	for _, o := range e.Observations {
		if !o.Recovery {
			return o.Expected
		}
	}
	return ""
}

func observedOf(e record.Experiment) string {
	for _, o := range e.Observations {
		if !o.Recovery {
			return o.Observed
		}
	}
	return e.Reason
}

func recovery(e record.Experiment) string {
	for _, o := range e.Observations {
		if o.Recovery && o.Seconds != nil {
			return fmt.Sprintf("%.1f s", *o.Seconds)
		}
	}
	return ""
}

// writeFindings lists what did not go as predicted, each with what has to follow.
func writeFindings(text *strings.Builder, o Outcome) {
	text.WriteString("\n## Findings and follow-ups\n\n")
	none := true
	for _, e := range o.Experiments {
		if e.Verdict.Passes() {
			continue
		}
		none = false
		follow := "find out why, and repeat it"
		if e.Verdict == record.Broken {
			follow = "mend the cluster or the expectation, and repeat it"
		}
		fmt.Fprintf(text, "- [ ] %s: %s: %s. Follow-up: %s. Who: ____, until: ____\n", markdown.Text(e.Name), e.Verdict, markdown.Text(e.Reason), follow)
	}
	if none {
		text.WriteString("Every experiment went as predicted.\n")
	}
}

func writeProof(text *strings.Builder, o Outcome) {
	text.WriteString("\n## The cluster afterwards\n\n")
	if o.AsBefore == nil {
		text.WriteString("- Its nodes, packet rules, mounts, manifests, leases and etcd members are as before; etcd's members have equal contents.\n")
	} else {
		fmt.Fprintf(text, "- **It is not as before:** %s\n", markdown.Text(o.AsBefore.Error()))
	}
	if a := o.Audit; a != nil {
		fmt.Fprintf(text, "- Of %d acknowledged writes %d are lost; watches missed %d.\n", a.Acknowledged, len(a.Lost), a.Missed)
	}
	if len(o.Changed) == 0 {
		text.WriteString("- No lasting object of the API came or went.\n")
		return
	}
	fmt.Fprintf(text, "- %d lasting objects of the API came or went meanwhile, by whomever:\n", len(o.Changed))
	for _, c := range o.Changed {
		fmt.Fprintf(text, "  - \\%s\n", markdown.Text(c)) // the sign would begin a list
	}
}
