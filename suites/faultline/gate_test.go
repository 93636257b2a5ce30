package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"faultline/reports/gate"
	"faultline/reports/record"
	"faultline/suites/rundir"
)

// A run is judged again by the policy in its record, or by one that is named.
func TestReportJudgesAgain(t *testing.T) {
	dir := place(t)
	for n := range 12 {
		run := ran(t, string(rune('a'+n)), "one", record.Held, 1)
		policy, err := gate.Load("", run.Claims)
		if err != nil {
			t.Fatal(err)
		}
		judgeAndRemember(run, policy, true)
	}
	slow := ran(t, "z", "one", record.Held, 60)
	policy, err := gate.Load("", slow.Claims)
	if err != nil {
		t.Fatal(err)
	}
	judgeAndRemember(slow, policy, true)
	if err := slow.Save(rundir.Merged("z").Record()); err != nil {
		t.Fatal(err)
	}
	t.Setenv(recordsVariable, filepath.Join(dir, "z"))
	t.Setenv(rundir.HistoryVariable, filepath.Join(dir, "another"))
	if err := report(t.Context()); statusOf(err) != 6 || outcome(t, filepath.Join(dir, "z")) != record.OutcomeRegression {
		t.Errorf("got %v, want a regression without the history", err)
	}
	text, err := os.ReadFile("../../reports/gate/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	lenient := filepath.Join(dir, "lenient.yaml")
	if err := os.WriteFile(lenient, []byte(strings.Replace(string(text), "seconds: 2\n", "seconds: 120\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(policyVariable, lenient)
	if err := report(t.Context()); err != nil {
		t.Errorf("by the policy that is named: %v", err)
	}
}

func TestAGateThatFailsIsAFailureOfTheHarness(t *testing.T) {
	place(t)
	t.Setenv(rundir.HistoryVariable, "merge.go/history")
	run := ran(t, "a", "one", record.Held, 1)
	policy, err := gate.Load("", run.Claims)
	if err != nil {
		t.Fatal(err)
	}
	judgeAndRemember(run, policy, true)
	if s := record.Summarise(run); s.Outcome != record.OutcomeHarnessError || !strings.Contains(fmt.Sprint(s.Harness), "the gate: ") {
		t.Errorf("got %+v", s)
	}
}

func TestExitStatuses(t *testing.T) {
	for want, err := range map[int]error{
		3: errors.New("the disk is full"),
		5: fmt.Errorf("bad input: %w", refusal{errors.New("no policy")}),
		6: errors.Join(exitError(6), errors.New("told before")),
	} {
		if got := statusOf(err); got != want {
			t.Errorf("%v: status %d, want %d", err, got, want)
		}
	}
}

func TestNightlyKeepsWhatIsSet(t *testing.T) {
	t.Setenv("FAULTLINE_PROFILE", "")
	t.Setenv("FAULTLINE_TIERS", "smoke")
	if err := nightlyDefaults(); err != nil {
		t.Fatal(err)
	}
	if profile, tiers := os.Getenv("FAULTLINE_PROFILE"), os.Getenv("FAULTLINE_TIERS"); profile != "documented" || tiers != "smoke" {
		t.Errorf("got %q and %q", profile, tiers)
	}
}

// A policy that cannot be read ends the run before engine or images are touched.
func TestNightlyRefusesABadPolicy(t *testing.T) {
	dir := place(t)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("FAULTLINE_BOOTSTRAP", "never")
	t.Setenv(rundir.Variable, "refused")
	for _, name := range []string{"GINKGO_LABEL_FILTER", "FAULTLINE_PROFILE", "FAULTLINE_TIERS", seedVariable} {
		t.Setenv(name, "")
	}
	policy := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte("schema: 1\ncolour: red\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(policyVariable, policy)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := nightly(ctx)
	if err == nil || !strings.Contains(err.Error(), policy+`:2: unknown key "colour"`) || statusOf(err) != 5 {
		t.Errorf("got %v", err)
	}
	if got := outcome(t, filepath.Join(dir, "refused")); got != record.OutcomeRefused {
		t.Errorf("the summary says %s", got)
	}
	if left, err := rundir.Remaining(); err != nil || len(left) > 0 {
		t.Errorf("private state remains: %v, %v", left, err)
	}
}
