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
	writeEnd(&text, o)
	text.WriteString("\n## Timeline\n\n| at | experiment | predicted | observed | recovery | verdict |\n|---|---|---|---|---|---|\n")
	for _, e := range o.Experiments {
		fmt.Fprintf(&text, "| %s | %s | %s | %s | %s | %s |\n", e.StartedAt.Format(time.TimeOnly), markdown.Text(e.Name),
			markdown.Text(expected(e)), markdown.Text(observedOf(e)), recovery(e), e.Verdict)
	}
	writeLeft(&text, o)
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

// writeEnd tells what ended the day early, whether all was undone then, and what else went wrong.
func writeEnd(text *strings.Builder, o Outcome) {
	if o.Aborted != "" {
		fmt.Fprintf(text, "\n**Aborted: %s.** %s\n", markdown.Text(o.Aborted), markdown.Text(undoneText(o)))
	} else if o.NotUndone != nil {
		fmt.Fprintf(text, "\n**%s**\n", markdown.Text(undoneText(o)))
	}
	if o.Failed != nil {
		fmt.Fprintf(text, "\n**It did not go as it should:** %s\n", markdown.Text(o.Failed.Error()))
	}
}

// undoneText says whether what was broken is undone; empty: nobody aborted, and it is.
func undoneText(o Outcome) string {
	switch {
	case o.NotUndone != nil:
		return "Not everything is undone: " + o.NotUndone.Error()
	case o.Aborted == "":
		return ""
	case o.Undone == 0:
		return "Nothing was in effect then."
	default:
		return fmt.Sprintf("Everything was undone %.2f s later.", o.Undone.Seconds())
	}
}

// writeLeft lists what was planned and not tried.
func writeLeft(text *strings.Builder, o Outcome) {
	if len(o.Left) == 0 {
		return
	}
	text.WriteString("\n## Left out\n\n")
	for _, l := range o.Left {
		fmt.Fprintf(text, "- %s: %s\n", markdown.Text(l.Name), markdown.Text(l.Reason))
	}
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
	passed := 0
	for _, e := range o.Experiments {
		if e.Verdict.Passes() {
			passed++
			continue
		}
		follow := "find out why, and repeat it"
		if e.Verdict == record.Broken {
			follow = "mend the cluster or the expectation, and repeat it"
		}
		fmt.Fprintf(text, "- [ ] %s: %s: %s. Follow-up: %s. Who: ____, until: ____\n", markdown.Text(e.Name), e.Verdict, markdown.Text(e.Reason), follow)
	}
	switch {
	case len(o.Experiments) == 0:
		text.WriteString("No experiment ran, so nothing was found out.\n")
	case passed == len(o.Experiments) && len(o.Left) > 0:
		fmt.Fprintf(text, "Every experiment that ran went as predicted; %d of %d did not run.\n", len(o.Left), len(o.Left)+len(o.Experiments))
	case passed == len(o.Experiments):
		text.WriteString("Every experiment went as predicted.\n")
	}
}

func writeProof(text *strings.Builder, o Outcome) {
	text.WriteString("\n## The cluster afterwards\n\n")
	if !o.Checked {
		text.WriteString("**It was not checked.** Nobody looked at nodes, members of etcd, acknowledged writes and objects of the API.\n")
		return
	}
	if o.AsBefore == nil {
		text.WriteString("- Its nodes, packet rules, mounts, manifests, leases and etcd members are as before; etcd's members have equal contents.\n")
	} else {
		fmt.Fprintf(text, "- **It is not proven to be as before:** %s\n", markdown.Text(o.AsBefore.Error()))
	}
	if a := o.Audit; a != nil {
		fmt.Fprintf(text, "- Of %d acknowledged writes %d are lost; watches missed %d.\n", a.Acknowledged, len(a.Lost), a.Missed)
	} else {
		writeUnknown(text, "What became of the acknowledged writes", o.Unaudited)
	}
	writeChanged(text, o)
}

// writeUnknown tells what could not be found out, and why.
func writeUnknown(text *strings.Builder, what string, why error) {
	fmt.Fprintf(text, "- **%s could not be found out**", what)
	if why != nil {
		fmt.Fprintf(text, ": %s", markdown.Text(why.Error()))
	}
	text.WriteString("\n")
}

func writeChanged(text *strings.Builder, o Outcome) {
	if o.Unlisted != nil {
		writeUnknown(text, "Which lasting objects of the API came or went", o.Unlisted)
		return
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
