package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2/types"

	"faultline/fault"
	"faultline/reports"
	"faultline/reports/record"
	"faultline/reports/terminal"
	"faultline/suites/claims"
	"faultline/suites/rundir"
)

// ginkgoReport is Ginkgo's own report: it knows failures outside experiments.
const ginkgoReport = "ginkgo.json"

// report renders the newest run again, from its record.
func report(context.Context) error {
	dir, err := rundir.Newest()
	if err != nil {
		return err
	}
	run, err := record.Load(dir.Record())
	if err != nil {
		return err
	}
	return publish(dir, run)
}

// assemble puts a record together from what the suite's processes left: one
// file an experiment, the environment, Ginkgo's report and the fault journal.
func assemble(dir rundir.Dir, started time.Time) (*record.Run, error) {
	run := &record.Run{
		Schema: record.SchemaVersion, ID: dir.Run, StartedAt: started,
		Seconds: time.Since(started).Seconds(), Claims: claims.Record(),
	}
	if err := readJSON(dir.Environment(), &run.Environment); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir.Experiments(), "*.json"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	for _, file := range files {
		var e record.Experiment
		if err := readJSON(file, &e); err != nil {
			return nil, err
		}
		run.Experiments = append(run.Experiments, e)
	}
	if run.Failures, err = harnessFailures(dir, run.Experiments); err != nil {
		return nil, err
	}
	run.NotRestored, err = notRestored(dir)
	return run, err
}

// notRestored lists the faults that the journal has open.
func notRestored(dir rundir.Dir) ([]string, error) {
	entries, err := fault.ReadJournal(dir.Journal())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if e.Open() {
			names = append(names, fmt.Sprintf("%s is %s; undo it with: make chaos-recover", e, e.State))
		}
	}
	return names, err
}

// harnessFailures finds failed specs that no experiment accounts for.
func harnessFailures(dir rundir.Dir, experiments []record.Experiment) ([]string, error) {
	var suites []types.Report
	if err := readJSON(dir.File(ginkgoReport), &suites); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return []string{"the suite ended before it could report; its last words are above"}, nil
		}
		return nil, err
	}
	var failures []string
	for _, suite := range suites {
		failures = append(failures, suite.SpecialSuiteFailureReasons...)
		for _, spec := range suite.SpecReports {
			told := slices.ContainsFunc(experiments, func(e record.Experiment) bool {
				return e.Name == spec.FullText() && !e.Verdict.Passes()
			})
			if spec.Failed() && !told {
				failures = append(failures, fmt.Sprintf("%s: %s", strings.TrimSpace(spec.LeafNodeType.String()+" "+spec.FullText()), spec.FailureMessage()))
			}
		}
	}
	return failures, nil
}

// publish writes every rendering, prints the table, and returns the verdict as
// the process's exit status.
func publish(dir rundir.Dir, run *record.Run) error {
	err := errors.Join(reports.Write(dir.Results, run), terminal.Write(os.Stdout, run, terminal.Detect(os.Stdout)))
	if err != nil {
		return err
	}
	fmt.Printf("\nreport: %s\n", dir.File(reports.HTMLFile))
	if status := record.Summarise(run).ExitStatus; status != 0 {
		return exitError(status)
	}
	return nil
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
