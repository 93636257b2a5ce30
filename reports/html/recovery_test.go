package html

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"faultline/reports/internal/fixture"
	"faultline/reports/record"
)

func TestRecoveryTableHasTheColumnsThatAreReached(t *testing.T) {
	x := experiment{Experiment: &record.Experiment{Recoveries: []record.Recovery{
		{After: "kill etcd on n1", At: 10.2, Phases: []record.Phase{{Name: "landed", Seconds: 0.18}, {Name: "api-ready", Seconds: 2}}},
		{After: "undo of stop etcd on n2", At: 30, Phases: []record.Phase{{Name: "undone", Seconds: 0.1}, {Name: "etcd-leader", Seconds: 1.4}}},
	}}}
	var labels []string
	got := x.RecoveryTable()
	for _, c := range got.Columns {
		labels = append(labels, c.Label)
	}
	if want := []string{"fault landed", "undone", "etcd leader", "API ready"}; !reflect.DeepEqual(labels, want) {
		t.Errorf("the columns are %q, want %q", labels, want)
	}
	if want := []recoveryRow{
		{"kill etcd on n1", 10.2, []string{"180 ms", "", "", "2.00 s"}},
		{"undo of stop etcd on n2", 30, []string{"", "100 ms", "1.40 s", ""}},
	}; !reflect.DeepEqual(got.Rows, want) {
		t.Errorf("the rows are %v, want %v", got.Rows, want)
	}
}

func TestEveryPhaseHasALabel(t *testing.T) {
	var names []string
	for _, p := range recoveryPhases {
		names = append(names, p.Name)
		if p.Label == "" || p.Meaning == "" {
			t.Errorf("the phase %s is not explained", p.Name)
		}
	}
	if !reflect.DeepEqual(names, record.PhaseNames) {
		t.Errorf("the page knows %q, a record %q", names, record.PhaseNames)
	}
}

func TestRecoveryIsShownWhereItIsKnown(t *testing.T) {
	run := fixture.Run()
	run.Experiments = run.Experiments[:1]
	page := func() string {
		var b bytes.Buffer
		if err := Write(&b, run); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	const table, row = `<table class="plain recovery">`, `<th scope="row">undo of kill etcd on n1</th>`
	if got := page(); !strings.Contains(got, table) || !strings.Contains(got, row) || !strings.Contains(got, "API ready") {
		t.Error("the recovery is not shown")
	}
	run.Experiments[0].Recoveries = nil // as in a record of an older faultline
	if got := page(); strings.Contains(got, table) || !strings.Contains(got, "<h3>Observations</h3>") {
		t.Error("a record without recoveries shows one")
	}
}
