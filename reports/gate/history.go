package gate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"faultline/reports/record"
)

// historySchema is the version of the files that this package writes. A reader
// leaves out a file with a higher number.
const historySchema = 1

// Entry is what the history keeps of a run: the recoveries of the experiments
// that passed.
type Entry struct {
	Schema      int        `json:"schema"`
	Run         string     `json:"run"`
	StartedAt   time.Time  `json:"startedAt"`
	Conditions  Conditions `json:"conditions"`
	Experiments []Measured `json:"experiments"`
}

// Conditions are what has to be the same for figures to be comparable. Patch
// releases and versions of Faultline may differ: a slow-down that one of them
// brings is what the gate looks for.
type Conditions struct {
	Profile      string `json:"profile"`
	LoadBalancer string `json:"loadBalancer"`
	Kubernetes   string `json:"kubernetes"` // major and minor version
	Etcd         string `json:"etcd"`       // major and minor version
}

// Measured are an experiment's recoveries by name, in seconds.
type Measured struct {
	Name       string             `json:"name"`
	Topology   string             `json:"topology"`
	Recoveries map[string]float64 `json:"recoveries"`
}

func conditionsOf(e record.Environment) Conditions {
	return Conditions{Profile: e.Profile, LoadBalancer: e.LoadBalancer, Kubernetes: minor(e.Kubernetes), Etcd: minor(e.Etcd)}
}

// minor is a version without what follows its second number.
func minor(version string) string {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// EntriesOf is what a judged run adds to the history: one entry, or one for each of
// its shards under the shard's own name, so that merging again adds nothing twice.
// An experiment with a regression is left out: it must not become the yardstick.
func EntriesOf(run *record.Run) []Entry {
	shards := run.Shards
	if len(shards) == 0 {
		shards = []record.Shard{{Run: run.ID, StartedAt: run.StartedAt, Environment: run.Environment}}
	}
	var entries []Entry
	for _, s := range shards {
		entry := Entry{Schema: historySchema, Run: s.Run, StartedAt: s.StartedAt, Conditions: conditionsOf(s.Environment)}
		for i := range run.Experiments {
			if e := &run.Experiments[i]; e.Shard == s.Name && e.Verdict.Passes() && !regressed(run.Gate, e) {
				entry.add(e)
			}
		}
		if len(entry.Experiments) > 0 {
			entries = append(entries, entry)
		}
	}
	return entries
}

func regressed(g *record.Gate, e *record.Experiment) bool {
	return g != nil && slices.ContainsFunc(g.Comparisons, func(c record.Comparison) bool { return c.Regressed && c.Experiment == e.ID })
}

// add keeps the longest of a recovery that a run has several times.
func (entry *Entry) add(e *record.Experiment) {
	all := recoveriesOf(e)
	if len(all) == 0 {
		return
	}
	i := slices.IndexFunc(entry.Experiments, func(m Measured) bool { return m.Name == e.Name && m.Topology == e.Topology })
	if i < 0 {
		i = len(entry.Experiments)
		entry.Experiments = append(entry.Experiments, Measured{Name: e.Name, Topology: e.Topology, Recoveries: map[string]float64{}})
	}
	known := entry.Experiments[i].Recoveries
	for _, r := range all {
		known[r.name] = max(known[r.name], r.seconds)
	}
}

// History is a folder with a file for each run. Any number of processes may use
// it at the same time: a file is whole from the moment that it has its name.
type History string

// temporaryFor is how long a file may be under way. What is older was left by a
// writer that was killed.
const temporaryFor = time.Hour

// fileName sorts by time. What an id may not contain in a file's name is replaced.
func (entry *Entry) fileName() string {
	id := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '_'
	}, entry.Run)
	return entry.StartedAt.UTC().Format("20060102T150405.000Z") + "-" + id + ".json"
}

// Check makes the folder, and tells whether one can write there.
func (h History) Check() error {
	if err := os.MkdirAll(string(h), 0o755); err != nil {
		return fmt.Errorf("make the folder of the history: %w", err)
	}
	probe, err := os.CreateTemp(string(h), ".check-*")
	if err != nil {
		return fmt.Errorf("write to the history: %w", err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// Add keeps the entries, and removes the oldest files beyond the number that is kept.
func (h History) Add(entries []Entry, keep int) error {
	if err := os.MkdirAll(string(h), 0o755); err != nil {
		return fmt.Errorf("make the folder of the history: %w", err)
	}
	for _, e := range entries {
		if err := record.SaveJSON(filepath.Join(string(h), e.fileName()), e); err != nil {
			return err
		}
	}
	return h.prune(keep)
}

// ours are the names that entries have, and those that they have while they are written.
var (
	ours      = regexp.MustCompile(`^\d{8}T\d{6}\.\d{3}Z-[a-z0-9_-]+\.json$`)
	temporary = regexp.MustCompile(`^\.(check-|\d{8}T\d{6}\.\d{3}Z-[a-z0-9_-]+\.json\.)\d+$`)
)

// prune removes the oldest entries, and what killed writers left; of other people's
// files, nothing. Another process may do the same at the same time.
func (h History) prune(keep int) error {
	all, err := os.ReadDir(string(h)) // sorted by name, which is by time
	var entries []string
	var errs []error
	for _, f := range all {
		path := filepath.Join(string(h), f.Name())
		if ours.MatchString(f.Name()) {
			entries = append(entries, path)
		}
		if !temporary.MatchString(f.Name()) {
			continue
		}
		if info, err := f.Info(); err == nil && time.Since(info.ModTime()) > temporaryFor {
			errs = append(errs, remove(path))
		}
	}
	for _, path := range entries[:max(0, len(entries)-keep)] {
		errs = append(errs, remove(path))
	}
	return errors.Join(append(errs, err)...)
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("shorten the history: %w", err)
	}
	return nil
}

// Read returns what the history has, oldest first, and names the files that it
// cannot use.
func (h History) Read() (entries []Entry, unreadable []string, err error) {
	all, err := os.ReadDir(string(h))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("read the history: %w", err)
	}
	for _, f := range all {
		if !strings.HasSuffix(f.Name(), ".json") {
			continue
		}
		path := filepath.Join(string(h), f.Name())
		entry, err := readEntry(path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // another run has just removed it
		case err != nil:
			unreadable = append(unreadable, fmt.Sprintf("%s: %v", path, err))
		default:
			entries = append(entries, entry)
		}
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return a.StartedAt.Compare(b.StartedAt) })
	return entries, unreadable, nil
}

func readEntry(path string) (Entry, error) {
	var entry Entry
	data, err := os.ReadFile(path)
	if err != nil {
		return entry, err
	}
	// The version comes first: a newer file may well not fit.
	var version struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return entry, fmt.Errorf("is no file of the history: %w", err)
	}
	if version.Schema < 1 || version.Schema > historySchema {
		return entry, fmt.Errorf("has schema version %d and this faultline reads %d", version.Schema, historySchema)
	}
	if err := json.Unmarshal(data, &entry); err != nil {
		return entry, fmt.Errorf("is no file of the history: %w", err)
	}
	return entry, entry.validate()
}

func (entry *Entry) validate() error {
	if entry.Run == "" || entry.StartedAt.IsZero() {
		return errors.New("has no run or no time")
	}
	for _, e := range entry.Experiments {
		for name, seconds := range e.Recoveries {
			if seconds < 0 || math.IsInf(seconds, 0) {
				return fmt.Errorf("has %g s for %q", seconds, name)
			}
		}
	}
	return nil
}
