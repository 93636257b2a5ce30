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

	"faultline/clusters"
	"faultline/fault"
	"faultline/reports"
	"faultline/reports/gate"
	"faultline/reports/record"
	"faultline/reports/terminal"
	"faultline/suites/claims"
	"faultline/suites/labels"
	"faultline/suites/rundir"
)

// ginkgoReport is Ginkgo's own report: it knows failures outside experiments.
const ginkgoReport = "ginkgo.json"

// report renders and judges again from records: the newest run's, the one that
// FAULTLINE_RECORDS names, or those that it names, merged into one run. Where another
// run is named it is put beside it.
func report(ctx context.Context) error {
	paths, err := namedRecords()
	if err != nil {
		return refusal{err}
	}
	other, err := comparedRun()
	if err != nil {
		return refusal{err}
	}
	if len(paths) > 1 {
		return reportMerged(ctx, paths, other)
	}
	var dir rundir.Dir
	if len(paths) == 1 {
		dir = rundir.Dir{Results: filepath.Dir(paths[0])}
	} else if dir, err = rundir.Newest(); err != nil {
		return refusal{err}
	}
	run, err := record.Load(dir.Record())
	if err != nil {
		return refusal{err}
	}
	policy, enforced, err := policyAgain(run.Gate, run.Claims)
	if err != nil {
		return refusal{err}
	}
	if err := gate.Judge(run, policy, enforced, gate.History(rundir.History())); err != nil {
		return refusal{err}
	}
	if err := compare(dir, other, run); err != nil {
		return err
	}
	return publish(ctx, dir, run)
}

// assemble puts a record together from what the suite's processes left: one
// file an experiment, the environment, Ginkgo's report and the fault journal.
func assemble(dir rundir.Dir, started time.Time) (*record.Run, error) {
	run, err := gather(dir, started)
	if err != nil {
		return nil, err
	}
	suites, err := ginkgoReports(dir)
	if err != nil {
		return nil, err
	}
	run.Failures = harnessFailures(suites, run.Experiments)
	run.Skipped = append(skipped(suites), absent()...)
	run.Sabotaged = sabotaged(suites)
	run.NotRestored, err = notRestored(dir)
	return run, err
}

// gather is the part of a record that grows while the suite runs.
func gather(dir rundir.Dir, started time.Time) (*record.Run, error) {
	run := &record.Run{
		Schema: record.SchemaVersion, ID: dir.Run, StartedAt: started,
		Seconds: time.Since(started).Seconds(), Claims: claims.Record(),
	}
	if err := readJSON(dir.Environment(), &run.Environment); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	run.Environment.FaultlineVersion = version()
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
	return run, nil
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
			names = append(names, fmt.Sprintf("%s is %s, and not proven undone", e, e.State))
		}
	}
	return names, err
}

// ginkgoReports is what Ginkgo tells of the suite's specs; nothing if it died.
func ginkgoReports(dir rundir.Dir) ([]types.Report, error) {
	var suites []types.Report
	err := readJSON(dir.File(ginkgoReport), &suites)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return suites, err
}

// harnessFailures finds failed specs that no experiment accounts for.
func harnessFailures(suites []types.Report, experiments []record.Experiment) []string {
	if len(suites) == 0 {
		return []string{"the suite ended before it could report; its last words are above"}
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
	return failures
}

// skipped finds the specs that skipped themselves. One that a filter left out has no
// message.
func skipped(suites []types.Report) []record.Skipped {
	var all []record.Skipped
	for _, spec := range specsThat(suites, types.SpecStateSkipped) {
		if reason := spec.FailureMessage(); reason != "" {
			all = append(all, record.Skipped{
				Name: spec.FullText(), Claims: labels.Values(spec.Labels(), labels.Claim), Topology: labelled(spec, labels.Topology), Reason: reason,
			})
		}
	}
	return all
}

// sabotaged finds the sabotage runs that passed, because their experiments turned red.
func sabotaged(suites []types.Report) []record.Sabotaged {
	var all []record.Sabotaged
	for _, spec := range specsThat(suites, types.SpecStatePassed) {
		if slices.Contains(spec.Labels(), labels.Sabotage) {
			all = append(all, record.Sabotaged{
				Name: spec.FullText(), Topology: labelled(spec, labels.Topology), Seconds: spec.RunTime.Seconds(), Groups: labels.Values(spec.Labels(), labels.Mutation),
			})
		}
	}
	return all
}

// specsThat are the specs of all suites that ended in a state.
func specsThat(suites []types.Report, state types.SpecState) types.SpecReports {
	var all types.SpecReports
	for _, suite := range suites {
		all = append(all, suite.SpecReports.WithLeafNodeType(types.NodeTypeIt).WithState(state)...)
	}
	return all
}

// absent are the layouts that no spec can use.
func absent() []record.Skipped {
	var all []record.Skipped
	for _, a := range clusters.AbsentLayouts() {
		all = append(all, record.Skipped{Name: "every experiment on this layout", Topology: a.Name, Reason: a.Reason + " (" + a.Source + ")"})
	}
	return all
}

// publish writes every rendering, prints the table, tells who listens, and returns
// the verdict as the process's exit status.
func publish(ctx context.Context, dir rundir.Dir, run *record.Run) error {
	err := errors.Join(reports.Write(dir.Results, run), terminal.Write(os.Stdout, run, terminal.Detect(os.Stdout)))
	if err != nil {
		return err
	}
	fmt.Printf("\nreport: %s\n", dir.File(reports.HTMLFile))
	announce(ctx, run)
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
