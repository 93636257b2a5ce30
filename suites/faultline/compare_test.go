package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"faultline/reports"
	"faultline/reports/record"
	"faultline/suites/rundir"
)

// saved is a run with the real run's experiments below ARTIFACTS.
func saved(t *testing.T, id string) (rundir.Dir, *record.Run) {
	t.Helper()
	run := realRun(t)
	run.ID = id
	dir := rundir.Dir{Run: id, Results: filepath.Join(rundir.Artifacts(), id)}
	if err := os.MkdirAll(dir.Results, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := run.Save(dir.Record()); err != nil {
		t.Fatal(err)
	}
	return dir, run
}

func TestReportComparesWithAnotherRun(t *testing.T) {
	t.Setenv("ARTIFACTS", t.TempDir())
	older, _ := saved(t, "older")
	newest, after := saved(t, "newest")
	environment, err := json.Marshal(after.Environment)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(newest.Environment(), environment, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{older.Record(), older.Results} {
		t.Setenv(compareVariable, path)
		if err := report(t.Context()); !errors.Is(err, exitError(1)) {
			t.Fatalf("%s: got %v, want the exit status of the run's verdict", path, err)
		}
		page, err := os.ReadFile(newest.File(reports.ComparisonFile))
		if err != nil || !strings.Contains(string(page), "run newest compared with older") || !strings.Contains(string(page), `href="report.html#experiment-`) {
			t.Errorf("%s: the comparison is missing: %v", path, err)
		}
	}
}

func TestComparisonWithNoRecord(t *testing.T) {
	t.Setenv("ARTIFACTS", t.TempDir())
	newest, _ := saved(t, "newest")
	if err := os.WriteFile(newest.Environment(), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "none.json")
	t.Setenv(compareVariable, missing)
	err := report(t.Context())
	if err == nil || !strings.Contains(err.Error(), missing) || !strings.Contains(err.Error(), compareVariable) {
		t.Errorf("got %v, want the path and the variable", err)
	}
	if _, err := os.Stat(newest.File(reports.HTMLFile)); err == nil {
		t.Error("the report was written before the mistake was told")
	}
}
