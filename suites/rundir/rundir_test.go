package rundir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newDir makes the places of a run below folders of the test.
func newDir(t *testing.T) Dir {
	t.Helper()
	t.Setenv("ARTIFACTS", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv(Variable, "")
	d, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestNewMakesBothPlaces(t *testing.T) {
	d := newDir(t)
	left, err := Remaining()
	if err != nil || len(left) != 1 || left[0].State != d.State {
		t.Fatalf("got %v, %v, want the state of %s", left, err, d.Run)
	}
	if err := d.RemoveState(); err != nil {
		t.Fatal(err)
	}
	if left, _ := Remaining(); len(left) != 0 {
		t.Fatalf("state remains: %v", left)
	}
}

func TestNewRefusesAStrangeName(t *testing.T) {
	t.Setenv("ARTIFACTS", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for _, name := range []string{"../../etc", "history"} {
		t.Setenv(Variable, name)
		if _, err := New(); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
}

func TestARunThatHasBeenThereIsRefused(t *testing.T) {
	d := newDir(t)
	t.Setenv(Variable, d.Run)
	if _, err := New(); err == nil || !strings.Contains(err.Error(), d.Run) {
		t.Errorf("a run that goes on: %v", err)
	}
	if joined, err := Join(); err != nil || joined != d {
		t.Errorf("its own processes get %+v, %v, want %+v", joined, err, d)
	}
	if err := d.RemoveState(); err != nil {
		t.Fatal(err)
	}
	if _, err := New(); err == nil || !strings.Contains(err.Error(), d.Results) {
		t.Errorf("a run that has left results: %v", err)
	}
	if err := os.RemoveAll(d.Results); err != nil {
		t.Fatal(err)
	}
	if again, err := New(); err != nil || again != d {
		t.Errorf("after both are gone: %+v, %v", again, err)
	}
	if err := os.RemoveAll(d.Results); err != nil {
		t.Fatal(err)
	}
	if _, err := New(); err == nil || !strings.Contains(err.Error(), d.State) || !strings.Contains(err.Error(), "make chaos-recover") {
		t.Errorf("a run that was killed: %v", err)
	}
}

func TestOnlyAProcessOfARunJoinsIt(t *testing.T) {
	newDir(t)
	if _, err := Join(); err == nil || !strings.Contains(err.Error(), "make chaos") {
		t.Errorf("got %v", err)
	}
	t.Setenv(Variable, "../../etc")
	if _, err := Join(); err == nil {
		t.Error("a strange name was accepted")
	}
}

func TestClusterIsKeptByASwitch(t *testing.T) {
	for text, want := range map[string]bool{"": false, "0": false, "false": false, "1": true, "true": true, "please": true} {
		t.Setenv(KeepVariable, text)
		if got := KeepsCluster(); got != want {
			t.Errorf("%q keeps it: %t, want %t", text, got, want)
		}
	}
	t.Setenv(KeepVariable, "please")
	if _, err := Switch(KeepVariable); err == nil || !strings.Contains(err.Error(), "want 1 or 0") {
		t.Errorf("a word that nobody understands: %v", err)
	}
}

func TestHistoryIsBelowTheResultsUnlessNamed(t *testing.T) {
	t.Setenv("ARTIFACTS", "results")
	t.Setenv(HistoryVariable, "")
	if got := History(); got != filepath.Join("results", "history") {
		t.Errorf("got %s", got)
	}
	t.Setenv(HistoryVariable, "/mnt/history")
	if got := History(); got != "/mnt/history" {
		t.Errorf("got %s", got)
	}
}

func TestNewestWithoutARun(t *testing.T) {
	t.Setenv("ARTIFACTS", filepath.Join(t.TempDir(), "none"))
	if _, err := Newest(); err == nil {
		t.Fatal("a run was found where there is none")
	}
}

func TestFinishedRunsAreTheYoungestFirst(t *testing.T) {
	t.Setenv("ARTIFACTS", t.TempDir())
	for age, run := range []string{"new", "old", "oldest"} {
		record := filepath.Join(Artifacts(), run, "record.json")
		when := time.Now().Add(-time.Duration(age) * time.Hour)
		if err := os.MkdirAll(filepath.Dir(record), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(record, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(record, when, when); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(Artifacts(), "unfinished"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := Finished(2); len(got) != 2 || got[0].Run != "new" || got[1].Run != "old" {
		t.Errorf("got %v", got)
	}
	if got := Finished(10); len(got) != 3 {
		t.Errorf("got %v", got)
	}
}

func TestPlanIsKeptWithTheResults(t *testing.T) {
	d := Dir{Run: "r", Results: t.TempDir()}
	if p, err := d.LoadPlan(); err != nil || p.Seconds() != 0 {
		t.Errorf("without a plan: %+v, %v", p, err)
	}
	if err := d.SavePlan(Plan{Clusters: 20, Experiments: map[string]float64{"one": 30, "two": 40}}); err != nil {
		t.Fatal(err)
	}
	if p, err := d.LoadPlan(); err != nil || p.Seconds() != 90 || p.Experiments["two"] != 40 {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestSabotageRunsCountAsDone(t *testing.T) {
	d := newDir(t)
	if err := os.WriteFile(filepath.Join(d.Experiments(), "e101.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.NoteSabotage("e102"); err != nil {
		t.Fatal(err)
	}
	if got := d.Done(); got != 2 {
		t.Errorf("%d are done, want 2", got)
	}
}
