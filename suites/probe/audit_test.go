package probe

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"faultline/reports/record"
)

// written makes a fake API that holds five acknowledged writes of a ledger,
// all delivered to one watch, and a sixth that nobody acknowledged.
func written(t *testing.T) (*fakeAPI, *Ledger, []door) {
	t.Helper()
	api := newFakeAPI()
	server := serve(t, api)
	doors := []door{doorOf("n1", server), doorOf("n2", server)}
	ledger := newLedger("x-ledger")
	w, err := newWriter(NewClock(), doors[0], ledger, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	d := ledger.watch("n1")
	for n := range 5 {
		if o := w.take(t.Context()); o.way != record.Up {
			t.Fatalf("write %d is %s: %s", n, o.way, o.detail)
		}
		ledger.delivered(d, ledger.name(n))
	}
	ledger.giveUp(ledger.begin())
	return api, ledger, doors
}

func witnesses(l *Ledger, doors []door) []witness {
	var all []witness
	for _, d := range doors {
		all = append(all, d.witness(l))
	}
	return all
}

func TestAuditOfACompleteLedger(t *testing.T) {
	api, ledger, doors := written(t)
	// A write without an acknowledgement may exist all the same.
	api.put(ledger.name(5))
	got, err := ledger.audit(t.Context(), witnesses(ledger, doors))
	if err != nil {
		t.Fatal(err)
	}
	if got.Attempted != 6 || got.Acknowledged != 5 || got.Missed != 0 || len(got.Lost)+len(got.Backwards) != 0 {
		t.Errorf("account %+v", got)
	}
	if !slices.Equal(got.Through, []string{"n1", "n2"}) {
		t.Errorf("asked %v", got.Through)
	}
	if err := ledger.clear(t.Context(), doors[0]); err != nil || len(api.deletions) != shards {
		t.Errorf("clear: %v, deletions %v", err, api.deletions)
	}
}

func TestAuditFindsSabotage(t *testing.T) {
	tests := []struct {
		name     string
		sabotage func(*fakeAPI, *Ledger)
		found    func(record.Audit) string
		want     string
	}{
		{"a lost write", func(f *fakeAPI, l *Ledger) { delete(f.maps, l.name(3)) },
			func(a record.Audit) string { return strings.Join(a.Lost, " ") }, "-000003 (through n1)"},
		{"a write in an older version", func(f *fakeAPI, l *Ledger) { f.maps[l.name(2)] = 7 },
			func(a record.Audit) string { return strings.Join(a.Lost, " ") }, "version 7, acknowledged as 103"},
		{"a server that went back", func(f *fakeAPI, _ *Ledger) { f.listVersion = 99 },
			func(a record.Audit) string { return strings.Join(a.Backwards, " ") }, `n2: lists at version "99", acknowledged up to 105`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			api, ledger, doors := written(t)
			test.sabotage(api, ledger)
			got, err := ledger.audit(t.Context(), witnesses(ledger, doors))
			if err != nil {
				t.Fatal(err)
			}
			if text := test.found(got); !strings.Contains(text, test.want) {
				t.Errorf("the audit says %+v, want %q", got, test.want)
			}
		})
	}
}

func TestWhatIsNewerThanARestoredBackupMayBeLost(t *testing.T) {
	api, ledger, doors := written(t)
	if n := ledger.Forgo(103); n != 2 {
		t.Fatalf("%d writes are newer than version 103, want 2", n)
	}
	delete(api.maps, ledger.name(3))
	delete(api.maps, ledger.name(4))
	got, err := ledger.audit(t.Context(), witnesses(ledger, doors))
	if err != nil || len(got.Lost) > 0 || got.Missed > 0 || got.Forgone != 2 || got.Acknowledged != 3 {
		t.Errorf("the audit says %+v, %v", got, err)
	}
	delete(api.maps, ledger.name(1))
	if got, _ := ledger.audit(t.Context(), witnesses(ledger, doors)); len(got.Lost) == 0 {
		t.Errorf("a write that was in the backup is lost, and the audit says %+v", got)
	}
}

func TestAuditFindsWritesThatNobodyMade(t *testing.T) {
	for _, number := range []int{6, 123456} {
		api, ledger, doors := written(t)
		api.put(ledger.name(number))
		if _, err := ledger.audit(t.Context(), witnesses(ledger, doors)); !errors.Is(err, ErrNeverWritten) {
			t.Errorf("with write %d the audit says %v", number, err)
		}
	}
}

func TestAuditCountsWhatAWatchMissed(t *testing.T) {
	_, ledger, doors := written(t)
	late := ledger.watch("n2")
	ledger.delivered(late, ledger.name(4))
	got, err := ledger.audit(t.Context(), witnesses(ledger, doors))
	if err != nil || got.Missed != 4 {
		t.Errorf("missed %d (%v), want 4", got.Missed, err)
	}
}

func TestAnAcknowledgementInAnOldVersionIsBackwards(t *testing.T) {
	ledger := newLedger("x")
	ledger.acknowledge(ledger.begin(), 50, 0, "n1")
	overlapping, next := ledger.begin(), ledger.begin()
	ledger.acknowledge(next, 52, 0, "n1")
	ledger.acknowledge(overlapping, 51, 0, "n1") // sent before 52 was known: any order is right
	if b := ledger.Backwards(); len(b) != 0 {
		t.Errorf("writes side by side are called backwards: %v", b)
	}
	ledger.acknowledge(ledger.begin(), 40, 0, "n2")
	if b := ledger.Backwards(); len(b) != 1 || !strings.Contains(b[0], "n2: acknowledged") {
		t.Errorf("backwards %v, want the last write", b)
	}
}

func TestAuditSaysWhichServerDoesNotAnswer(t *testing.T) {
	_, ledger, doors := written(t)
	doors = append(doors, doorAt("n3", freeAddress(t)))
	ctx, cancel := context.WithTimeout(t.Context(), 300*ms)
	defer cancel()
	_, err := ledger.audit(ctx, witnesses(ledger, doors))
	if err == nil || !strings.Contains(err.Error(), "through n3") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error %v", err)
	}
}

func TestWriterGivesUpWhatIsNotAcknowledged(t *testing.T) {
	api, ledger, doors := written(t)
	w, err := newWriter(NewClock(), doors[0], ledger, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	api.answer = func(w http.ResponseWriter, _ *http.Request) bool {
		status(w, http.StatusInternalServerError, "etcdserver: request timed out")
		return true
	}
	if o := w.take(t.Context()); o.way != record.EtcdError {
		t.Errorf("the write is %s", o.way)
	}
	if ledger.Attempted() != 7 || ledger.Acknowledged() != 5 {
		t.Errorf("%d attempted, %d acknowledged; want 7 and 5", ledger.Attempted(), ledger.Acknowledged())
	}
}
