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
		Notes: []page.Note{{Text: "<b>flat</b>"}},
		Audit: &record.Audit{Acknowledged: 7},
	})
	for _, want := range []string{`a&#124;b | writes go on | they did | 12.5 s | held`, "went as predicted", "&lt;b&gt;flat", "are as before", "Of 7 acknowledged writes 0 are lost"} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "Aborted") || strings.Contains(text, "- [ ]") {
		t.Errorf("it tells of an abort or a finding:\n%s", text)
	}
}

func TestWriteTellsWhatWentWrong(t *testing.T) {
	text := told(t, Outcome{
		Experiments: []record.Experiment{{Name: "x", Verdict: record.Broken, Reason: "predicted this\nobserved that"}},
		Aborted:     "said so", Undone: 340 * time.Millisecond,
		AsBefore: errors.New("node n1 has a rule"), Changed: []string{"+ configmaps default/x"},
	})
	for _, want := range []string{
		"**Aborted: said so.** Everything was undone 0.34 s later", "- [ ] x: broken: predicted this observed that",
		"**It is not as before:** node n1 has a rule", `  - \+ configmaps default/x`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
}
