package fault

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func testRecord(id string, state State) Record {
	return Record{ID: id, Time: time.Now(), Cluster: "c", Run: "r", Node: "n1", Fault: KindPause,
		Target: "etcd on n1", State: state, Undo: []string{"sh", "-c", "true"}, TTLSeconds: 600}
}

func testJournal(t *testing.T) *Journal {
	t.Helper()
	j, err := OpenJournal(filepath.Join(t.TempDir(), "run"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func appendRaw(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTheLatestRecordCounts(t *testing.T) {
	j := testJournal(t)
	for _, r := range []Record{testRecord("a", Armed), testRecord("b", Armed), testRecord("a", Injected), testRecord("a", Undone)} {
		if err := j.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	records, err := ReadJournal(j.Path())
	if err != nil || len(records) != 2 {
		t.Fatalf("%v, %v", records, err)
	}
	if records[0].ID != "a" || records[0].Open() || records[1].ID != "b" || !records[1].Open() {
		t.Errorf("got %v", records)
	}
	if strings.Join(records[1].Undo, " ") != "sh -c true" {
		t.Errorf("undo %q", records[1].Undo)
	}
}

func TestATornLineIsPassedOverAndKept(t *testing.T) {
	for _, torn := range []string{`{`, `{"schema":1,"id":"b"`, "\x00\x00\x00"} {
		j := testJournal(t)
		if err := j.Append(testRecord("a", Armed)); err != nil {
			t.Fatal(err)
		}
		appendRaw(t, j.Path(), torn)
		for range 2 { // as found, and after another writer went on
			records, err := ReadJournal(j.Path())
			if err != nil || records[0].ID != "a" {
				t.Fatalf("after %q: %v, %v", torn, records, err)
			}
			again, err := openJournal(j.Path())
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(again.Append(testRecord("c", Armed)), again.Close()); err != nil {
				t.Fatal(err)
			}
		}
		records, err := ReadJournal(j.Path())
		if err != nil || len(records) != 2 {
			t.Errorf("after %q: %v, %v; want a and c", torn, records, err)
		}
		content, _ := os.ReadFile(j.Path())
		if !strings.Contains(string(content), torn) {
			t.Errorf("the torn bytes %q were lost:\n%s", torn, content)
		}
	}
}

func TestOtherDamageIsRefusedAndKept(t *testing.T) {
	for name, line := range map[string]string{
		"garbage":        "garbage\n",
		"empty line":     "\n",
		"future schema":  `{"schema":2,"id":"x","cluster":"c","node":"n","target":"t","state":"armed"}` + "\n",
		"unknown state":  `{"schema":1,"id":"x","cluster":"c","node":"n","target":"t","state":"broken"}` + "\n",
		"no node":        `{"schema":1,"id":"x","cluster":"c","target":"t","state":"armed"}` + "\n",
		"two in one":     `{"schema":1}{"schema":1}` + "\n",
		"not even a map": "[]\n",
	} {
		t.Run(name, func(t *testing.T) {
			j := testJournal(t)
			if err := j.Append(testRecord("a", Armed)); err != nil {
				t.Fatal(err)
			}
			appendRaw(t, j.Path(), line)
			if err := j.Append(testRecord("b", Armed)); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(j.Path())
			_, err := ReadJournal(j.Path())
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), j.Path()+", line 2") {
				t.Errorf("got %v, want ErrCorrupt with file and line 2", err)
			}
			if _, err := openJournal(j.Path()); !errors.Is(err, ErrCorrupt) {
				t.Errorf("opened: %v", err)
			}
			after, _ := os.ReadFile(j.Path())
			if string(before) != string(after) {
				t.Error("the corrupt journal was changed")
			}
		})
	}
}

func TestConcurrentWriters(t *testing.T) {
	j := testJournal(t)
	const writers, each = 8, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			own := j
			if w%2 == 0 { // half of them as other processes would
				other, err := openJournal(j.Path())
				if err != nil {
					t.Error(err)
					return
				}
				defer other.Close()
				own = other
			}
			for n := range each {
				id := fmt.Sprintf("%d-%d", w, n)
				if err := own.Append(testRecord(id, Armed), testRecord(id, Undone)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	records, err := ReadJournal(j.Path())
	if err != nil || len(records) != writers*each {
		t.Fatalf("%d records, %v; want %d", len(records), err, writers*each)
	}
	for _, r := range records {
		if r.Open() {
			t.Errorf("%s is open", r.ID)
		}
	}
}

func TestABadRecordIsNotWritten(t *testing.T) {
	j := testJournal(t)
	bad := testRecord("", Armed)
	if err := j.Append(testRecord("a", Armed), bad); err == nil {
		t.Error("a record without an ID was written")
	}
	if err := j.Append(testRecord("a", Planned)); err == nil {
		t.Error("planned was written: nothing has to be undone then")
	}
	if content, _ := os.ReadFile(j.Path()); len(content) > 0 {
		t.Errorf("written: %s", content)
	}
}

func TestFindJournals(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"run-b", "run-a"} {
		j, err := OpenJournal(filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		_ = j.Close()
	}
	found, err := FindJournals(root)
	if err != nil || len(found) != 2 || !strings.HasSuffix(found[0], "run-a/"+JournalName) {
		t.Errorf("%v, %v", found, err)
	}
	if found, err := FindJournals(filepath.Join(root, "none")); err != nil || len(found) > 0 {
		t.Errorf("missing directory: %v, %v", found, err)
	}
}
