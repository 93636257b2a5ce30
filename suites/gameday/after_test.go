package gameday

import (
	"errors"
	"strings"
	"testing"
	"time"

	"faultline/reports/record"
	"faultline/suites/gameday/page"
	"faultline/suites/gameday/plan"
)

func told(t *testing.T, o Outcome) string {
	t.Helper()
	var text strings.Builder
	if err := Write(&text, plan.Plan{Target: plan.Target{Name: "staging"}}, o, time.Now()); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestWriteTellsADayThatWentWell(t *testing.T) {
	took := 12.5
	text := told(t, Outcome{
		Experiments: []record.Experiment{{Name: "Game day: a|b", Verdict: record.Held, Observations: []record.Observation{
			{Expected: "writes go on", Observed: "they did"}, {Recovery: true, Seconds: &took},
		}}},
		Notes:   []page.Note{{Text: "<b>flat</b>"}},
		Checked: true, Audit: &record.Audit{Acknowledged: 7},
	})
	for _, want := range []string{`a&#124;b | writes go on | they did | 12.5 s | held`, "went as predicted", "&lt;b&gt;flat", "are as before", "Of 7 acknowledged writes 0 are lost"} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
	for _, no := range []string{"Aborted", "- [ ]", "Left out", "did not go", "not checked", "found out"} {
		if strings.Contains(text, no) {
			t.Errorf("it has %q:\n%s", no, text)
		}
	}
}

func TestWriteTellsWhatWentWrong(t *testing.T) {
	text := told(t, Outcome{
		Experiments: []record.Experiment{{Name: "x", Verdict: record.Broken, Reason: "predicted this\nobserved that"}},
		Aborted:     "said so", Undone: 340 * time.Millisecond,
		Failed: errors.New("the disk is full"), Left: []record.Skipped{{Name: "y", Reason: "the day ended before it"}},
		Checked: true, AsBefore: errors.New("node n1 has a rule"), Unaudited: errors.New("no answer from n2"), Changed: []string{"+ configmaps default/x"},
	})
	for _, want := range []string{
		"**Aborted: said so.** Everything was undone 0.34 s later", "- [ ] x: broken: predicted this observed that",
		"**It did not go as it should:** the disk is full", "- y: the day ended before it",
		"**It is not proven to be as before:** node n1 has a rule", "writes could not be found out**: no answer from n2", `  - \+ configmaps default/x`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "as predicted") || strings.Contains(text, "are lost") {
		t.Errorf("it states what was not found:\n%s", text)
	}
}

// What nobody has looked at is not told as a proof.
func TestWriteStatesNoProofThatWasNotMade(t *testing.T) {
	text := told(t, Outcome{Left: []record.Skipped{{Name: "x", Reason: leftByTime}}, Failed: errors.New("not in good health")})
	for _, want := range []string{"It was not checked", "No experiment ran", "- x: the day ended before it", "not in good health"} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
	text += told(t, Outcome{Checked: true, Audit: &record.Audit{}, Unlisted: errors.New("no answer")})
	if !strings.Contains(text, "came or went could not be found out**: no answer") {
		t.Errorf("it does not say what is unknown:\n%s", text)
	}
	for _, no := range []string{"as predicted", "No lasting object"} {
		if strings.Contains(text, no) {
			t.Errorf("it states %q:\n%s", no, text)
		}
	}
}

func TestWriteTellsOfWhatDidNotRun(t *testing.T) {
	text := told(t, Outcome{
		Experiments: []record.Experiment{{Name: "x", Verdict: record.Held}}, Left: []record.Skipped{{Name: "y", Reason: leftByPeople}}, Checked: true,
	})
	if !strings.Contains(text, "Every experiment that ran went as predicted; 1 of 2 did not run") || !strings.Contains(text, "- y: people skipped it") {
		t.Errorf("it does not tell what did not run:\n%s", text)
	}
}

func TestWriteTellsWhetherAllIsUndone(t *testing.T) {
	for want, o := range map[string]Outcome{
		"**Aborted: enough.** Everything was undone 1.50 s later.":          {Aborted: "enough", Undone: 1500 * time.Millisecond},
		"**Aborted: enough.** Nothing was in effect then.":                  {Aborted: "enough"},
		"**Aborted: enough.** Not everything is undone: n1 does not answer": {Aborted: "enough", Undone: time.Second, NotUndone: errors.New("n1 does not answer")},
		"**Not everything is undone: n1 does not answer**":                  {NotUndone: errors.New("n1 does not answer")},
	} {
		if text := told(t, o); !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
}
