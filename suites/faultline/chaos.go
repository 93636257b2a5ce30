package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"faultline/clusters"
	"faultline/clusters/engine"
	"faultline/clusters/images"
	"faultline/reports"
	"faultline/reports/gate"
	"faultline/reports/record"
	"faultline/reports/terminal"
	"faultline/suites/claims"
	"faultline/suites/labels"
	"faultline/suites/rundir"
)

// chaos runs the suite. A policy decides the outcome if one was named; else the
// default policy's findings are told.
func chaos(ctx context.Context) error { return runAndJudge(ctx, policyNamed()) }

// nightly is chaos with a policy that decides, and other defaults.
func nightly(ctx context.Context) error {
	if err := nightlyDefaults(); err != nil {
		return err
	}
	return runAndJudge(ctx, true)
}

// nightlyDefaults sets what the caller has not: the suite's processes read it, too.
func nightlyDefaults() error {
	for _, d := range [][2]string{{"FAULTLINE_PROFILE", "documented"}, {"FAULTLINE_TIERS", strings.Join(labels.Tiers, ",")}} {
		if os.Getenv(d[0]) == "" {
			if err := os.Setenv(d[0], d[1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// runAndJudge prepares the machine, runs the suite in processes of its own, and
// judges what they left, even when they died on the way.
func runAndJudge(ctx context.Context, enforced bool) error {
	dir, err := rundir.New()
	if err != nil {
		return refusal{err}
	}
	seed, err := seed()
	var p prepared
	if err == nil {
		p, err = prepare(ctx, dir)
	}
	if err != nil {
		return refusal{errors.Join(err, refuse(ctx, dir, err))}
	}
	fmt.Printf("run %s: results go to %s; the same order and choices again with %s=%d\n", dir.Run, dir.Results, seedVariable, seed)
	started := time.Now()
	stopLive, err := serveLive(dir, started)
	if err != nil {
		return refusal{errors.Join(err, refuse(ctx, dir, err))}
	}
	defer stopLive()
	if err := runSuite(dir, ginkgoArguments(dir, p, seed)); err != nil {
		fmt.Fprintln(os.Stderr, "the suite:", err)
	}
	run, err := assemble(dir, started)
	if err != nil {
		return err
	}
	if err := settle(context.WithoutCancel(ctx), dir, len(run.NotRestored)); err != nil {
		run.Failures = append(run.Failures, fmt.Sprintf("something of the run is left: %v; undo faults with: make chaos-recover; and then remove the rest with: make clean", err))
	}
	judgeAndRemember(run, p.policy, enforced)
	return publish(context.WithoutCancel(ctx), dir, run) // an interrupt ended the suite, and what it found is told
}

// prepared is what a run needs before anything is changed.
type prepared struct {
	selected
	policy    *gate.Policy
	processes int
	// plan is what the run is going to do.
	plan rundir.Plan
}

// prepare reads what the caller wants before it prepares the machine for it.
func prepare(ctx context.Context, dir rundir.Dir) (p prepared, err error) {
	if err = understood(); err != nil {
		return p, err
	}
	if p.policy, err = gate.Load(os.Getenv(policyVariable), claims.Record()); err != nil {
		return p, err
	}
	if err = gate.History(rundir.History()).Check(); err != nil {
		return p, err
	}
	if p.selected, err = selection(ctx); err != nil {
		return p, err
	}
	if p.processes, err = processes(layoutsOf(p.specs), runtime.NumCPU()); err != nil {
		return p, err
	}
	if err = prepareImages(ctx); err != nil {
		return p, err
	}
	if p.plan, err = foresee(p.specs); err != nil {
		return p, err
	}
	fmt.Printf("%d experiments on %d layouts, about %.0f minutes\n", len(p.specs), len(layoutsOf(p.specs)), p.plan.Seconds()/60)
	return p, dir.SavePlan(p.plan)
}

// understood reads what counts only later: a word that nobody knows is refused before anything is
// changed.
func understood() error {
	_, timing := clusters.TimingFromEnv()
	_, live := liveAddress(os.Getenv(liveVariable))
	_, origin := images.OriginFromEnv()
	_, bootstrap := engine.PolicyFromEnv()
	_, keep := rundir.Switch(rundir.KeepVariable)
	return errors.Join(timing, live, origin, bootstrap, keep)
}

// hangTime is when an experiment takes so long that its stack is worth a look: longer than
// any with Kubernetes' default settings, in which pods stay five minutes on a lost node.
const hangTime = 20 * time.Minute

// ginkgoArguments is the command line of the suite's one binary. The run is ended when it
// takes much longer than is likely.
func ginkgoArguments(dir rundir.Dir, p prepared, seed int64) []string {
	timeout := time.Hour + time.Duration(2*p.plan.Seconds())*time.Second
	args := []string{"tool", "ginkgo", "run", "--label-filter", p.filter, "--fail-on-empty", "--seed", strconv.FormatInt(seed, 10), "--procs", strconv.Itoa(p.processes),
		"--output-dir", dir.Results, "--json-report", ginkgoReport, "--timeout", timeout.String(), "--poll-progress-after", hangTime.String(), "--silence-skips"}
	if focus := os.Getenv("GINKGO_FOCUS"); focus != "" {
		args = append(args, "--focus", focus)
	}
	if !terminal.Detect(os.Stdout).Color {
		args = append(args, "--no-color")
	}
	return append(args, "./suites")
}

// runSuite runs Ginkgo. An interrupt reaches it by itself, being in our process
// group, and it cleans up: we only wait. A reaper does so where all of us are killed.
func runSuite(dir rundir.Dir, args []string) error {
	// The suite's processes work in another folder than ours.
	artifacts, err := filepath.Abs(rundir.Artifacts())
	if err != nil {
		return err
	}
	stop := func() error { return nil }
	if !rundir.KeepsCluster() {
		reaper, err := startReaper("reap", dir.Run)
		if err != nil {
			return err
		}
		stop = reaper.stop
	}
	cmd := exec.Command("go", args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), rundir.Variable+"="+dir.Run, suiteVariable+"="+dir.Run, "ARTIFACTS="+artifacts)
	ignored := make(chan os.Signal, 4)
	signal.Notify(ignored, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(ignored)
	return errors.Join(cmd.Run(), stop())
}

// settle removes the private state of a run that has ended, unless its cluster stays, which needs it.
// Of faults whose undo the run could not prove it takes back first what outlives a cluster.
func settle(ctx context.Context, dir rundir.Dir, open int) error {
	if rundir.KeepsCluster() {
		return nil
	}
	if open == 0 {
		return dir.RemoveState()
	}
	return forget(ctx, dir.Run)
}

// refuse leaves a summary of a run that was refused before anything changed.
func refuse(ctx context.Context, dir rundir.Dir, why error) error {
	run := &record.Run{Schema: record.SchemaVersion, ID: dir.Run, StartedAt: time.Now(), Refused: why.Error()}
	announce(context.WithoutCancel(ctx), run)
	return errors.Join(record.Summarise(run).Save(dir.File(reports.SummaryFile)), dir.RemoveState())
}
