// Package rundir says where a run keeps what: results for people below
// ARTIFACTS, and private state (kubeconfigs, the fault journal) in the user's
// cache directory, where recovery and cleaning find it from any process.
package rundir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"faultline/fault"
	"faultline/reports"
)

// Variable names the environment variable that carries the run's identifier
// from the command to the suite's processes.
const Variable = "FAULTLINE_RUN"

// Dir is the places of one run.
type Dir struct {
	// Run is the identifier: at most ten lower-case letters and digits.
	Run string
	// Results is the folder for people: record, report, evidence.
	Results string
	// State is private to the user: kubeconfigs and the fault journal.
	State string
}

var runPattern = regexp.MustCompile(`^[a-z0-9]{1,10}$`)

// New makes the places of a run that begins: that of FAULTLINE_RUN, or one with a name of its own.
// It refuses a run that has been there before: two of them would be told as one, and the faults of
// the first would be taken for the second's.
func New() (Dir, error) {
	run := os.Getenv(Variable)
	if run == "" {
		run = strings.ToLower(rand.Text()[:6])
	}
	d, err := places(run)
	if err != nil {
		return Dir{}, err
	}
	if isThere(d.State) {
		return Dir{}, fmt.Errorf("%s=%s: a run of that name goes on or was killed, its state is in %s: name another one, or run make chaos-recover and make clean", Variable, run, d.State)
	}
	if isThere(d.Results) {
		return Dir{}, fmt.Errorf("%s=%s: a run of that name has left its results in %s: name another one, or move them away", Variable, run, d.Results)
	}
	return d, d.create()
}

// isThere errs on the side of a run that has been there.
func isThere(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// Join returns the places of the run that has started this process, which FAULTLINE_RUN names.
func Join() (Dir, error) {
	run := os.Getenv(Variable)
	if run == "" {
		return Dir{}, fmt.Errorf("%s is empty, and no run has started this process: use make chaos", Variable)
	}
	d, err := places(run)
	if err != nil {
		return Dir{}, err
	}
	return d, d.create()
}

func places(run string) (Dir, error) {
	if !runPattern.MatchString(run) || run == history {
		return Dir{}, fmt.Errorf("%s=%q: want at most ten lower-case letters and digits, and not %q", Variable, run, history)
	}
	states, err := states()
	if err != nil {
		return Dir{}, err
	}
	return Dir{Run: run, Results: filepath.Join(Artifacts(), run), State: filepath.Join(states, run)}, nil
}

func (d Dir) create() error {
	return errors.Join(os.MkdirAll(d.Experiments(), 0o755), os.MkdirAll(d.State, 0o700))
}

// Artifacts is the folder of all results: ARTIFACTS, or artifacts here.
func Artifacts() string {
	if dir := os.Getenv("ARTIFACTS"); dir != "" {
		return dir
	}
	return "artifacts"
}

// HistoryVariable names another folder for the history.
const HistoryVariable = "FAULTLINE_HISTORY"

const history = "history"

// History is the folder of what earlier runs measured: FAULTLINE_HISTORY, or
// history below ARTIFACTS.
func History() string {
	if dir := os.Getenv(HistoryVariable); dir != "" {
		return dir
	}
	return filepath.Join(Artifacts(), history)
}

// Merged is the places of a run that other runs were merged into. It has no
// private state.
func Merged(run string) Dir { return Dir{Run: run, Results: filepath.Join(Artifacts(), run)} }

// states is the private folder of all runs.
func states() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("where to keep private state: %w", err)
	}
	return filepath.Join(cache, "faultline", "runs"), nil
}

// State makes the private folder of a run that has no results.
func State(run string) (string, error) {
	states, err := states()
	if err != nil {
		return "", err
	}
	state := filepath.Join(states, run)
	return state, os.MkdirAll(state, 0o700)
}

// Journal is the path of the run's fault journal.
func (d Dir) Journal() string { return filepath.Join(d.State, fault.JournalName) }

// Trail is the file that says how a game day reached its cluster's nodes.
func (d Dir) Trail() string { return filepath.Join(d.State, "trail.json") }

// Experiments is the folder of one file an experiment, each complete.
func (d Dir) Experiments() string { return filepath.Join(d.Results, "experiments") }

// Environment is the file that says what the run's figures depend on.
func (d Dir) Environment() string { return filepath.Join(d.Results, "environment.json") }

// Evidence is the folder of an experiment's evidence.
func (d Dir) Evidence(experiment string) string {
	return filepath.Join(d.Results, "evidence", experiment)
}

// Record is the path of the run's record.
func (d Dir) Record() string { return filepath.Join(d.Results, reports.RecordFile) }

// File is the path of a rendering beside the record.
func (d Dir) File(name string) string { return filepath.Join(d.Results, name) }

// Remaining lists the runs that still have private state, oldest name first.
func Remaining() ([]Dir, error) {
	parent, err := states()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for runs: %w", err)
	}
	var dirs []Dir
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, Dir{Run: e.Name(), Results: filepath.Join(Artifacts(), e.Name()), State: filepath.Join(parent, e.Name())})
		}
	}
	return dirs, nil
}

// RemoveState removes the run's private state.
func (d Dir) RemoveState() error { return os.RemoveAll(d.State) }

// Newest is the run below ARTIFACTS whose record is the youngest.
func Newest() (Dir, error) {
	found, err := filepath.Glob(filepath.Join(Artifacts(), "*", "environment.json"))
	if err != nil || len(found) == 0 {
		return Dir{}, errors.Join(err, fmt.Errorf("no run below %s; make one with: make chaos", Artifacts()))
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return modified(a) - modified(b) })
	results := filepath.Dir(newest)
	return Dir{Run: filepath.Base(results), Results: results}, nil
}

// Finished lists the runs below ARTIFACTS that have a record, the youngest first, and no
// more than that many.
func Finished(most int) []Dir {
	found, err := filepath.Glob(filepath.Join(Artifacts(), "*", reports.RecordFile))
	if err != nil {
		return nil
	}
	slices.SortFunc(found, func(a, b string) int { return modified(b) - modified(a) })
	var dirs []Dir
	for _, record := range found[:min(most, len(found))] {
		results := filepath.Dir(record)
		dirs = append(dirs, Dir{Run: filepath.Base(results), Results: results})
	}
	return dirs
}

// modified is the file's time in milliseconds since 1970, 0 when it is gone.
func modified(path string) int {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return int(info.ModTime().UnixMilli())
}
