package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"faultline/reports"
	"faultline/reports/gate"
	"faultline/reports/record"
	"faultline/suites/claims"
	"faultline/suites/rundir"
)

// place keeps the results and the history of a test to itself.
func place(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("ARTIFACTS", dir)
	for _, name := range []string{policyVariable, rundir.HistoryVariable, recordsVariable, mixedVariable, repeatedVariable} {
		t.Setenv(name, "")
	}
	return dir
}

// ran leaves the record of a run that made one experiment, with its evidence.
func ran(t *testing.T, id, experiment string, verdict record.Verdict, seconds float64, change ...func(*record.Run)) *record.Run {
	t.Helper()
	e := record.Experiment{ID: "e101", Name: experiment, Topology: "bare-etcd-3", Claims: []string{"ETCD-09"}, Verdict: verdict,
		Observations: []record.Observation{{Expected: "resume put", Seconds: &seconds, Recovery: true}}, Evidence: []string{"evidence/e101/etcd.log"}}
	run := &record.Run{
		Schema: record.SchemaVersion, ID: id, StartedAt: time.Date(2026, time.November, 23, 1, 0, 0, 0, time.UTC).Add(time.Duration(id[0]) * time.Hour),
		Environment: record.Environment{Kubernetes: "v1.37.1", Profile: "fast", Cores: 2}, Claims: claims.Record(), Experiments: []record.Experiment{e},
	}
	for _, c := range change {
		c(run)
	}
	dir := rundir.Merged(id)
	path := filepath.Join(dir.Results, e.Evidence[0])
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("log of "+id), 0o600),
		reports.Write(dir.Results, run), saveEnvironment(dir, run.Environment))
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func outcome(t *testing.T, folder string) record.Outcome {
	t.Helper()
	var s record.Summary
	if err := readJSON(filepath.Join(folder, reports.SummaryFile), &s); err != nil {
		t.Fatal(err)
	}
	return s.Outcome
}

func TestReportMergesShards(t *testing.T) {
	dir := place(t)
	ran(t, "a", "one", record.Held, 1)
	ran(t, "b", "two", record.Broken, 2)
	t.Setenv(recordsVariable, filepath.Join(dir, "a")+" "+filepath.Join(dir, "b", "record.json"))
	for range 2 { // a second time replaces the first
		if err := report(t.Context()); statusOf(err) != 1 {
			t.Fatalf("got %v, want the status of a broken claim", err)
		}
	}
	merged, err := filepath.Glob(filepath.Join(dir, "m*"))
	if err != nil || len(merged) != 1 || outcome(t, merged[0]) != record.OutcomeClaimBroken {
		t.Fatalf("got %v, %v", merged, err)
	}
	if newest, err := rundir.Newest(); err != nil || newest.Results != merged[0] {
		t.Errorf("the newest run is %v, %v", newest, err)
	}
	run, err := record.Load(filepath.Join(merged[0], reports.RecordFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range run.Experiments {
		text, err := os.ReadFile(filepath.Join(merged[0], e.Evidence[0]))
		if err != nil || string(text) != "log of "+e.Shard {
			t.Errorf("evidence of %s: %q, %v", e.ID, text, err)
		}
	}
	entries, unreadable, err := gate.History(rundir.History()).Read()
	if err != nil || len(unreadable) > 0 || len(entries) != 1 || entries[0].Run != "a" {
		t.Errorf("the history has %+v, %v, %v; only the shard that passed belongs there", entries, unreadable, err)
	}
}

func TestMergedEvidenceStaysInsideItsFolders(t *testing.T) {
	dir := place(t)
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	ran(t, "a", "one", record.Held, 1)
	ran(t, "c", "three", record.Held, 1, func(r *record.Run) { r.ID = "../outside" })
	ran(t, "b", "two", record.Held, 2, func(r *record.Run) {
		r.Experiments[0].Evidence = []string{"../secret", "../../secret", "link", "gone.log", "evidence/e101/etcd.log"}
	})
	if err := os.Symlink(secret, filepath.Join(dir, "b", "link")); err != nil {
		t.Fatal(err)
	}
	t.Setenv(recordsVariable, filepath.Join(dir, "?", "record.json"))
	if err := report(t.Context()); err != nil {
		t.Fatal(err)
	}
	newest, err := rundir.Newest()
	if err != nil {
		t.Fatal(err)
	}
	run, err := record.Load(newest.Record())
	if err != nil {
		t.Fatal(err)
	}
	if got := run.Experiments[1].Evidence; len(got) != 1 || got[0] != "b/evidence/e101/etcd.log" {
		t.Errorf("got %v", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "outside")); err == nil || len(run.Experiments[2].Evidence) > 0 {
		t.Error("the id of a run leads out of the folder")
	}
}

func TestReportRefusesBeforeItChangesAnything(t *testing.T) {
	tests := map[string]struct {
		second func(*record.Run)
		set    [2]string
		want   string
		heals  string // the variable with which it is accepted
	}{
		"other versions":           {func(r *record.Run) { r.Environment.Kubernetes = "v1.36.0" }, [2]string{}, mixedVariable + "=1", mixedVariable},
		"an experiment twice":      {func(r *record.Run) { r.Experiments[0].Name = "one" }, [2]string{}, repeatedVariable + "=1", repeatedVariable},
		"another policy":           {func(r *record.Run) { r.Gate = &record.Gate{Text: "x"} }, [2]string{}, "name one with " + policyVariable, ""},
		"a newer schema":           {func(r *record.Run) { r.Schema = 99 }, [2]string{}, "schema version 99", ""},
		"no such policy":           {func(*record.Run) {}, [2]string{policyVariable, "none.yaml"}, "none.yaml", ""},
		"no such record":           {func(*record.Run) {}, [2]string{recordsVariable, "none.json"}, "there is no none.json", ""},
		"another file":             {func(*record.Run) {}, [2]string{recordsVariable, "merge.go"}, "merge.go is neither", ""},
		"an unclear wish":          {func(*record.Run) {}, [2]string{mixedVariable, "maybe"}, `FAULTLINE_MERGE_MIXED="maybe"`, ""},
		"no place for the history": {func(*record.Run) {}, [2]string{rundir.HistoryVariable, "merge.go/x"}, "history", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := place(t)
			ran(t, "a", "one", record.Held, 1)
			ran(t, "b", "two", record.Held, 1, test.second)
			t.Setenv(recordsVariable, filepath.Join(dir, "?"))
			if test.set[0] != "" {
				t.Setenv(test.set[0], test.set[1])
			}
			err := report(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) || statusOf(err) != 5 {
				t.Errorf("got %v (%d), want %q", err, statusOf(err), test.want)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "[hm]*")); len(left) > 0 {
				t.Errorf("it left %v", left)
			}
			if test.heals == "" {
				return
			}
			t.Setenv(test.heals, "1")
			if err := report(t.Context()); err != nil {
				t.Errorf("it was allowed: %v", err)
			}
		})
	}
}
