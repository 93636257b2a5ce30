package gate

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"faultline/reports/record"
)

var monday = time.Date(2026, time.November, 23, 1, 0, 0, 0, time.UTC)

// night is a run with one experiment of one recovery, some nights after Monday.
func night(n int, seconds float64) *record.Run {
	e := experiment(fmt.Sprintf("faultline-r%d-101", n), "resume write within 30.0 s (load-balancer)", seconds)
	e.ID, e.Name, e.Topology, e.Claims = "e101", "survives", "three", []string{"ETCD-02"}
	return &record.Run{
		Schema: record.SchemaVersion, ID: fmt.Sprintf("r%d", n), StartedAt: monday.AddDate(0, 0, n), Seconds: 60, Claims: catalogue,
		Environment: record.Environment{Kubernetes: "v1.37.1", Etcd: "v3.7.0", Profile: "documented", LoadBalancer: "haproxy"},
		Experiments: []record.Experiment{*e},
	}
}

func read(t *testing.T, h History) []Entry {
	t.Helper()
	entries, unreadable, err := h.Read()
	if err != nil || len(unreadable) > 0 {
		t.Fatal(err, unreadable)
	}
	return entries
}

func TestHistoryReturnsWhatWasAdded(t *testing.T) {
	h := History(filepath.Join(t.TempDir(), "history"))
	if entries := read(t, h); len(entries) > 0 {
		t.Errorf("a history that does not exist has %v", entries)
	}
	for _, n := range []int{2, 1, 2} { // the order does not matter, and again adds nothing
		if err := h.Add(EntriesOf(night(n, float64(n))), 9); err != nil {
			t.Fatal(err)
		}
	}
	want := append(EntriesOf(night(1, 1)), EntriesOf(night(2, 2))...)
	if got := read(t, h); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestOnlyGoodFiguresEnterTheHistory(t *testing.T) {
	add := func(run *record.Run, id string, v record.Verdict, seconds float64) {
		e := experiment("c", "resume write (load-balancer)", seconds)
		e.ID, e.Name, e.Verdict = id, id, v
		run.Experiments = append(run.Experiments, *e)
	}
	run := night(1, 1)
	add(run, "drifted", record.Drifted, 2)
	add(run, "broken", record.Broken, 3)
	add(run, "inconclusive", record.Inconclusive, 4)
	add(run, "slower", record.Held, 5)
	run.Gate = &record.Gate{Comparisons: []record.Comparison{{Experiment: "slower", Regressed: true}, {Experiment: "drifted"}}}
	entries := EntriesOf(run)
	var names []string
	for _, m := range entries[0].Experiments {
		names = append(names, m.Name)
	}
	if strings.Join(names, " ") != "survives drifted" {
		t.Errorf("got %v", names)
	}
	add(run, "drifted", record.Drifted, 9) // repeated twice, the longest counts
	add(run, "drifted", record.Drifted, 1)
	if m := EntriesOf(run)[0].Experiments; len(m) != 2 || m[1].Recoveries["resume write (load-balancer)"] != 9 {
		t.Errorf("repetitions: %+v", m)
	}
	run.Experiments = run.Experiments[2:4]
	if entries := EntriesOf(run); len(entries) > 0 {
		t.Errorf("nothing passed, and the history gets %+v", entries)
	}
}

func TestHistoryNamesWhatItCannotRead(t *testing.T) {
	h := History(t.TempDir())
	if err := h.Add(EntriesOf(night(1, 1)), 9); err != nil {
		t.Fatal(err)
	}
	bad := map[string]string{
		"cut.json":      `{"schema":1,"run":"x","exper`,
		"empty.json":    "",
		"newer.json":    `{"schema":2,"run":["x"]}`,
		"record.json":   `{"id":"x"}`,
		"nobody.json":   `{"schema":1}`,
		"negative.json": `{"schema":1,"run":"x","startedAt":"2026-11-23T01:00:00Z","experiments":[{"recoveries":{"r":-1}}]}`,
	}
	for name, text := range bad {
		if err := os.WriteFile(filepath.Join(string(h), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(string(h), "folder.json"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(string(h), "notes.txt"), []byte("not ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	entries, unreadable, err := h.Read()
	if err != nil || len(entries) != 1 || len(unreadable) != len(bad)+1 {
		t.Fatalf("got %d entries, %v, %v", len(entries), unreadable, err)
	}
	for name := range bad {
		if !strings.Contains(strings.Join(unreadable, "\n"), filepath.Join(string(h), name)+": ") {
			t.Errorf("%s is not named in %v", name, unreadable)
		}
	}
	if err := h.Check(); err != nil {
		t.Error(err)
	}
}

// A writer that is killed leaves a temporary file, never half of an entry.
func TestHistorySurvivesAKilledWriter(t *testing.T) {
	h := History(t.TempDir())
	run := EntriesOf(night(1, 1))
	leave := func(name string, age time.Duration) string {
		path := filepath.Join(string(h), "."+name)
		if err := os.WriteFile(path, []byte(`{"schema":1,"run":"r1","star`), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	under := EntriesOf(night(1, 1))[0].fileName()
	old, young := leave(under+".123456", 2*temporaryFor), leave(under+".7", 0)
	check, theirs := leave("check-42", 2*temporaryFor), leave("profile", 2*temporaryFor)
	if got := read(t, h); len(got) > 0 {
		t.Errorf("half an entry was read: %+v", got)
	}
	if err := h.Add(run, 9); err != nil {
		t.Fatal(err)
	}
	if got := read(t, h); !reflect.DeepEqual(got, run) {
		t.Errorf("got %+v", got)
	}
	for path, want := range map[string]bool{old: false, check: false, young: true, theirs: true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A folder that somebody uses for other things, too, loses nothing.
func TestHistoryRemovesOnlyItsOwn(t *testing.T) {
	h := History(t.TempDir())
	for _, name := range []string{"0.json", "package.json", "20261123.json"} {
		if err := os.WriteFile(filepath.Join(string(h), name), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 4 {
		if err := h.Add(EntriesOf(night(n, 1)), 2); err != nil {
			t.Fatal(err)
		}
	}
	entries, unreadable, err := h.Read()
	if err != nil || len(entries) != 2 || len(unreadable) != 3 {
		t.Errorf("got %d entries, %v, %v", len(entries), unreadable, err)
	}
}

func TestHistoryWithManyWriters(t *testing.T) {
	const writers, keep = 40, 10
	h := History(t.TempDir())
	var group sync.WaitGroup
	for n := range writers {
		group.Go(func() {
			if err := h.Add(EntriesOf(night(n, float64(n))), keep); err != nil {
				t.Error(err)
			}
			if _, unreadable, err := h.Read(); err != nil || len(unreadable) > 0 {
				t.Errorf("a reader saw %v, %v", unreadable, err)
			}
		})
	}
	group.Wait()
	entries := read(t, h)
	if len(entries) != keep || entries[0].Run != "r30" || entries[keep-1].Run != "r39" {
		t.Errorf("the newest %d are to be kept, got %d from %s on", keep, len(entries), entries[0].Run)
	}
}

func TestHistoryThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h := History(filepath.Join(file, "history"))
	if err := h.Check(); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("check: %v", err)
	}
	if err := h.Add(EntriesOf(night(1, 1)), 9); err == nil {
		t.Error("a run was added to a folder that cannot be")
	}
	if _, _, err := h.Read(); err == nil {
		t.Error("a folder that cannot be was read")
	}
}

// A run's id comes from outside: it must not lead out of the folder.
func TestNameOfAnEntryStaysInTheFolder(t *testing.T) {
	run := night(1, 1)
	run.ID = "../../etc/passwd"
	h := History(t.TempDir())
	if err := h.Add(EntriesOf(run), 9); err != nil {
		t.Fatal(err)
	}
	if got := read(t, h); len(got) != 1 || got[0].Run != run.ID {
		t.Errorf("got %+v", got)
	}
}
