package main

import (
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"

	"faultline/clusters"
	"faultline/clusters/engine"
	"faultline/fault"
	"faultline/suites/rundir"
)

// ended is a run that has ended, with one fault in its journal that is not undone: undo is how.
func ended(t *testing.T, undo ...string) rundir.Dir {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	return endedOn(t, "settletest", clusters.ThisMachineName, undo...)
}

// endedOn is one of several such runs, with its fault on a node.
func endedOn(t *testing.T, run, node string, undo ...string) rundir.Dir {
	t.Helper()
	state, err := rundir.State(run)
	if err != nil {
		t.Fatal(err)
	}
	journal, err := fault.OpenJournal(state)
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	if err := journal.Append(fault.Record{
		ID: "f1", Time: time.Now(), Run: run, Cluster: "c1", Node: node,
		Fault: "kill", Target: "etcd on n1", State: fault.Landed, Undo: undo,
	}); err != nil {
		t.Fatal(err)
	}
	return rundir.Dir{Run: run, State: state}
}

func isThere(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

func TestFaultThatIsNotUndoneIsTold(t *testing.T) {
	dir := ended(t, "true")
	open, err := notRestored(dir)
	if want := "kill etcd on n1 (cluster c1, run settletest, f1) is landed, and not proven undone"; err != nil || len(open) != 1 || open[0] != want {
		t.Errorf("got %q, %v, want %q", open, err, want)
	}
}

func TestNoPrivateStateIsLeftOfARunThatRestoredEverything(t *testing.T) {
	dir := ended(t)
	if err := settle(t.Context(), dir, 0); err != nil || isThere(t, dir.State) {
		t.Errorf("got %v, the state is there: %t", err, isThere(t, dir.State))
	}
}

func TestClusterThatIsKeptKeepsItsState(t *testing.T) {
	t.Setenv("SKIP_RESOURCE_CLEANUP", "1")
	for _, open := range []int{0, 1} {
		dir := ended(t, "false")
		if err := settle(t.Context(), dir, open); err != nil || !isThere(t, dir.Journal()) {
			t.Errorf("with %d open faults: %v, the journal is there: %t", open, err, isThere(t, dir.Journal()))
		}
	}
}

// The state goes only when nothing is open any more: of a node nobody can tell without an engine.
func TestEndedRunIsSettledOrKeepsItsJournal(t *testing.T) {
	mark := t.TempDir() + "/mark"
	dir := ended(t, "touch", mark)
	if err := settle(t.Context(), dir, 1); err != nil || !isThere(t, mark) || isThere(t, dir.State) {
		t.Errorf("got %v, it is undone: %t, the state is there: %t", err, isThere(t, mark), isThere(t, dir.State))
	}
	withoutEngine(t)
	dir = endedOn(t, "settletest", "n1", "true")
	if err := settle(t.Context(), dir, 1); !errors.Is(err, engine.ErrNone) || !isThere(t, dir.Journal()) {
		t.Errorf("without an engine: %v, the journal is there: %t", err, isThere(t, dir.Journal()))
	}
}

// What outlives a cluster is undone before the state goes, and keeps it where that fails.
func TestFaultThatOutlivesTheClusterIsTakenBack(t *testing.T) {
	mark := t.TempDir() + "/mark"
	dir := ended(t, "touch", mark)
	if err := forget(t.Context(), dir.Run); err != nil || !isThere(t, mark) || isThere(t, dir.State) {
		t.Errorf("got %v, it is undone: %t, the state is there: %t", err, isThere(t, mark), isThere(t, dir.State))
	}
	dir = ended(t, "false")
	if err := forget(t.Context(), dir.Run); err == nil || !isThere(t, dir.Journal()) {
		t.Errorf("what is not undone: %v, the journal is there: %t", err, isThere(t, dir.Journal()))
	}
}
