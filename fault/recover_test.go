package fault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"faultline/clusters"
)

func TestRecoverUndoesWhatIsOpen(t *testing.T) {
	b := newBench(t)
	etcd := b.cluster.EtcdMembers()
	b.must(t, Pause(etcd[0]))
	b.must(t, Stop(etcd[1]))
	b.must(t, Kill(etcd[2]))
	closed := b.must(t, HoldDown(b.cluster.Instances(clusters.Scheduler)[0]))
	if err := closed.Undo(t.Context()); err != nil {
		t.Fatal(err)
	}

	var out strings.Builder
	report, err := Recover(t.Context(), []string{b.journal.Path()}, shellForModel(b.model), &out)
	if err != nil || len(report.Undone) != 3 || len(report.Gone)+len(report.Failed) > 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	if report.Undone[0].Fault != KindKill || report.Undone[2].Fault != KindPause {
		t.Errorf("order %v, want the latest first", report.Undone)
	}
	if err := b.unwell(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"stop etcd on n2", "there was nothing to undo", "3 fault(s) were open: 3 undone"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, out.String())
		}
	}
	out.Reset()
	if _, err := Recover(t.Context(), []string{b.journal.Path()}, shellForModel(b.model), &out); err != nil || !strings.Contains(out.String(), "no open fault") {
		t.Errorf("second time: %v\n%s", err, out.String())
	}
}

func TestRecoverTellsGoneFromUnreachable(t *testing.T) {
	b := newBench(t)
	b.must(t, Pause(b.cluster.EtcdMembers()...))
	reachable := false
	shellFor := func(_ context.Context, _, node string) (clusters.Shell, error) {
		switch {
		case node == "n1":
			return nil, fmt.Errorf("node %s: %w", node, ErrGone)
		case node == "n2" && !reachable:
			return nil, errors.New("no route to n2")
		}
		return b.shell, nil
	}
	var out strings.Builder
	report, err := Recover(t.Context(), []string{b.journal.Path()}, shellFor, &out)
	if err == nil || !strings.Contains(err.Error(), "no route to n2") {
		t.Errorf("got %v", err)
	}
	if len(report.Gone) != 1 || len(report.Failed) != 1 || len(report.Undone) != 1 || !strings.Contains(out.String(), "NOT RESTORED") {
		t.Errorf("%+v\n%s", report, out.String())
	}
	reachable = true
	report, err = Recover(t.Context(), []string{b.journal.Path()}, shellFor, &out)
	if err != nil || len(report.Undone) != 1 || report.Undone[0].Node != "n2" {
		t.Errorf("second time: %+v, %v", report, err)
	}
}

func TestRecoverReadsEveryJournalBeforeItChangesAnything(t *testing.T) {
	b := newBench(t)
	b.must(t, Pause(b.cluster.EtcdMembers()[0]))
	other := testJournal(t)
	appendRaw(t, other.Path(), "garbage\n")
	before := len(b.changes())
	paths := []string{b.journal.Path(), other.Path()}
	if _, err := Recover(t.Context(), paths, shellForModel(b.model), &strings.Builder{}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
	if len(b.changes()) != before {
		t.Errorf("changed %v", b.changes()[before:])
	}
	if err := os.Rename(other.Path(), other.Path()+".corrupt"); err != nil { // as the message advises
		t.Fatal(err)
	}
	if _, err := Recover(t.Context(), paths[:1], shellForModel(b.model), &strings.Builder{}); err != nil {
		t.Error(err)
	}
	if err := b.unwell(); err != nil {
		t.Error(err)
	}
}
