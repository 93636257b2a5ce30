package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/onsi/ginkgo/v2/types"

	"faultline/clusters"
	"faultline/clusters/kind"
	"faultline/reports/record"
	"faultline/suites/labels"
	"faultline/suites/rundir"
)

// remembered is how many earlier runs tell how long experiments take.
const remembered = 20

// guesses are how long an experiment takes, by the profile, that has never been measured
// here. Of fast it is the mean of whole runs on two cores. Of documented it has room for
// experiments that lose nodes, because the timeout of a run is made of it.
var guesses = map[string]time.Duration{
	clusters.FastProfile().Name:       time.Minute,
	clusters.DocumentedProfile().Name: 2 * time.Minute,
}

// plan lists the specs that chaos would run, by topology, with the time that
// each took in the newest run. Nothing is changed.
func plan(ctx context.Context) error {
	chosen, err := selection(ctx)
	if err != nil {
		return refusal{err}
	}
	p, err := foresee(chosen.specs)
	if err != nil {
		return err
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "TOPOLOGY\tCLAIMS\tABOUT\tEXPERIMENT")
	for _, s := range chosen.specs {
		fmt.Fprintf(out, "%s\t%s\t%.0f s\t%s\n", labelled(s, labels.Topology), labelled(s, labels.Claim), p.Experiments[s.FullText()], s.FullText())
	}
	if err := errors.Join(out.Flush(), printClusters(chosen.specs)); err != nil {
		return err
	}
	fmt.Printf("\n%d experiments, about %.0f minutes with their clusters; nothing was changed\n", len(chosen.specs), p.Seconds()/60)
	return nil
}

// foresee is what a run of the specs is going to do, and for how long.
func foresee(specs []types.SpecReport) (rundir.Plan, error) {
	p := rundir.Plan{StartedAt: time.Now(), Experiments: map[string]float64{}}
	profile, err := clusters.ProfileFromEnv()
	if err != nil {
		return p, err
	}
	for name, about := range likelyDurations(specs, profile.Name) {
		p.Experiments[name] = about.Seconds()
	}
	for _, name := range layoutsOf(specs) {
		t, err := clusters.Find(name)
		if err != nil {
			return p, err
		}
		p.Clusters += kind.Estimate(t).Seconds()
	}
	return p, nil
}

// layoutsOf lists the layouts of specs, which are sorted by them.
func layoutsOf(specs []types.SpecReport) []string {
	var names []string
	for _, s := range specs {
		names = append(names, labelled(s, labels.Topology))
	}
	return slices.Compact(names)
}

// printClusters prints the clusters that the specs need, one after another.
func printClusters(specs []types.SpecReport) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "\nCLUSTER\tHOSTS AND MEMBERS\tMEMORY\tREADY AFTER ABOUT")
	for _, name := range layoutsOf(specs) {
		t, err := clusters.Find(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s\t%s\t%.1f GiB\t%.0f s\n", t.Name, hostsText(t), float64(t.MemoryBytes())/(1<<30), kind.Estimate(t).Seconds())
	}
	return out.Flush()
}

// listSpecs asks Ginkgo for the specs that a filter selects, without running them.
func listSpecs(ctx context.Context, filter string) ([]types.SpecReport, error) {
	dir, err := os.MkdirTemp("", "faultline-plan-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	args := []string{"tool", "ginkgo", "run", "--dry-run", "--label-filter", filter, "--output-dir", dir, "--json-report", ginkgoReport}
	if focus := os.Getenv("GINKGO_FOCUS"); focus != "" {
		args = append(args, "--focus", focus)
	}
	if out, err := exec.CommandContext(ctx, "go", append(args, "./suites")...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("list the specs: %w\n%s", err, out)
	}
	var reports []types.Report
	if err := readJSON(filepath.Join(dir, ginkgoReport), &reports); err != nil {
		return nil, err
	}
	var specs []types.SpecReport
	for _, r := range reports {
		specs = append(specs, r.SpecReports.WithLeafNodeType(types.NodeTypeIt).WithState(types.SpecStatePassed)...)
	}
	slices.SortStableFunc(specs, func(a, b types.SpecReport) int {
		return strings.Compare(labelled(a, labels.Topology), labelled(b, labels.Topology))
	})
	return specs, nil
}

// labelled joins the values of a label.
func labelled(s types.SpecReport, key string) string {
	return strings.Join(labels.Values(s.Labels(), key), " ")
}

// likelyDurations is how long each spec took in the newest run with the profile that had it,
// by its name, or a guess.
func likelyDurations(specs []types.SpecReport, profile string) map[string]time.Duration {
	measured := map[string]time.Duration{}
	for _, dir := range rundir.Finished(remembered) {
		run, err := record.Load(dir.Record())
		if err != nil || run.Environment.Profile != profile {
			continue // a plan does without what cannot be read
		}
		for _, e := range run.Experiments {
			if _, newer := measured[e.Name]; !newer {
				measured[e.Name] = time.Duration(e.Seconds * float64(time.Second))
			}
		}
	}
	likely := map[string]time.Duration{}
	for _, s := range specs {
		about, known := measured[s.FullText()]
		if !known {
			about = guesses[profile]
		}
		likely[s.FullText()] = about
	}
	return likely
}
