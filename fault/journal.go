package fault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// JournalName is the journal's name in the directory of its run.
const JournalName = "faults.jsonl"

// journalSchema is the version of Record that this package writes.
const journalSchema = 1

// Record is one line of a journal: what a fault on one target has come to, and how
// to undo it. Every line is complete in itself.
//
// The states armed and injected are intents, written before the action. The others
// are facts, written after. So whatever is armed, injected or landed may be in
// effect and has to be undone.
type Record struct {
	Schema int       `json:"schema"`
	ID     string    `json:"id"`
	Time   time.Time `json:"time"`

	Cluster string `json:"cluster"`
	Run     string `json:"run"`
	Node    string `json:"node"`

	Fault  Kind   `json:"fault"`
	Target string `json:"target"`
	State  State  `json:"state"`

	// Undo is to be run on the node; it is idempotent. Empty: nothing to undo.
	Undo []string `json:"undo,omitempty"`
	// TTLSeconds is the time after which the node undoes the fault itself, and
	// Deadline when that is.
	TTLSeconds float64   `json:"ttlSeconds,omitzero"`
	Deadline   time.Time `json:"deadline,omitzero"`
	// Note says who wrote the record when it was not the injector.
	Note string `json:"note,omitempty"`
}

// Open tells whether the fault may still be in effect.
func (r Record) Open() bool { return r.State != Undone && r.State != Healed }

func (r Record) validate() error {
	if r.Schema != journalSchema {
		return fmt.Errorf("schema %d, but this version reads %d", r.Schema, journalSchema)
	}
	if r.ID == "" || r.Cluster == "" || r.Node == "" || r.Target == "" {
		return errors.New("the id, the cluster, the node or the target is missing")
	}
	if _, known := transitions[r.State]; !known || r.State == Planned {
		return fmt.Errorf("unknown state %q", r.State)
	}
	return nil
}

// Journal is the append-only file of a run's faults. Several processes may write it
// at once.
type Journal struct {
	path string

	mu   sync.Mutex
	file journalFile
}

// journalFile is what a journal needs of its file.
type journalFile interface {
	append(lines []byte) error
	Close() error
}

// OpenJournal opens the journal in the directory of a run and makes both where they
// are not there yet. It refuses a corrupt journal.
func OpenJournal(dir string) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of the fault journal: %w", err)
	}
	return openJournal(filepath.Join(dir, JournalName))
}

func openJournal(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the fault journal: %w", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	j := &Journal{path: path, file: syncedFile{f}}
	if _, err := ReadJournal(path); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return j, nil
}

// syncDir makes a file's name as durable as its content.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open the directory of the fault journal: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync the directory of the fault journal: %w", err)
	}
	return nil
}

// Path is where the journal is.
func (j *Journal) Path() string { return j.path }

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }

// Append writes records in one piece. When it returns nil they are on the disk.
func (j *Journal) Append(records ...Record) error {
	var lines bytes.Buffer
	for _, r := range records {
		r.Schema = journalSchema
		if err := r.validate(); err != nil {
			return fmt.Errorf("fault journal: refuse to write %+v: %w", r, err)
		}
		line, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("fault journal: %w", err)
		}
		lines.Write(append(line, '\n'))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.file.append(lines.Bytes()); err != nil {
		return fmt.Errorf("write the fault journal %s: %w", j.path, err)
	}
	return nil
}

// tornMark ends a line that its writer could not finish. The next writer adds it, so
// that the rest of the journal stays readable and nothing is deleted.
const tornMark = "#torn\n"

// syncedFile appends under a lock between processes and syncs.
type syncedFile struct{ *os.File }

func (f syncedFile) append(lines []byte) error {
	fd := int(f.Fd())
	if err := syscall.Flock(fd, syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	defer syscall.Flock(fd, syscall.LOCK_UN) //nolint:errcheck // closing unlocks too
	torn, err := f.torn()
	if err != nil {
		return err
	}
	if torn {
		lines = append([]byte(tornMark), lines...)
	}
	if _, err := f.Write(lines); err != nil {
		return err
	}
	return f.Sync()
}

// torn tells whether the last line is unfinished.
func (f syncedFile) torn() (bool, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return false, err
	}
	last := make([]byte, 1)
	_, err = f.ReadAt(last, info.Size()-1)
	return last[0] != '\n', err
}

// ReadJournal returns the latest record of every fault and target, oldest fault
// first. It passes over an unfinished line: its writer died before it acted on
// it. It refuses any other damage, and changes nothing.
func ReadJournal(path string) ([]Record, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the fault journal: %w", err)
	}
	var all []Record
	number := 0
	for line := range bytes.Lines(data) {
		number++
		if !bytes.HasSuffix(line, []byte("\n")) || bytes.HasSuffix(line, []byte(tornMark)) {
			continue
		}
		r, err := parseRecord(line)
		if err != nil {
			return nil, corrupt(path, number, err)
		}
		if n := slices.IndexFunc(all, func(old Record) bool { return old.ID == r.ID }); n >= 0 {
			all[n] = r
		} else {
			all = append(all, r)
		}
	}
	return all, nil
}

func parseRecord(line []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(line, &r); err != nil {
		return r, err
	}
	return r, r.validate()
}

// ErrCorrupt marks a journal that cannot be trusted.
var ErrCorrupt = errors.New("corrupt fault journal")

func corrupt(path string, line int, err error) error {
	return fmt.Errorf("%w: %s, line %d: %w; nothing was changed and the file is kept. "+
		"The nodes undo their faults by their own timers (`systemctl list-timers 'faultline-*'` there). "+
		"Repair the line, or move the file away with `mv %s %s.corrupt`, and try again",
		ErrCorrupt, path, line, err, path, path)
}

// FindJournals lists the journals below a directory, in the order of their names.
// A directory that does not exist holds none.
func FindJournals(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == dir {
			return nil
		}
		if err == nil && !entry.IsDir() && entry.Name() == JournalName {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for fault journals: %w", err)
	}
	return found, nil
}
