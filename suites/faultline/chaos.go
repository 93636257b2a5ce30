package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"faultline/reports"
	"faultline/reports/record"
	"faultline/reports/terminal"
	"faultline/suites/rundir"
)

// chaos prepares the machine, runs the suite in processes of its own, and
// judges what they left, even when they died on the way.
func chaos(ctx context.Context) error {
	dir, err := rundir.New()
	if err != nil {
		return err
	}
	seed, err := seed()
	var filter string
	if err == nil {
		filter, err = selection(ctx)
	}
	if err == nil {
		err = prepareImages(ctx)
	}
	var likely time.Duration
	if err == nil {
		likely, err = foresee(ctx, dir, filter)
	}
	if err != nil {
		return errors.Join(err, refuse(ctx, dir, err))
	}
	fmt.Printf("run %s: results go to %s; the same order and choices again with %s=%d\n", dir.Run, dir.Results, seedVariable, seed)
	started := time.Now()
	stopLive, err := serveLive(dir, started)
	if err != nil {
		return errors.Join(err, refuse(ctx, dir, err))
	}
	defer stopLive()
	if err := runSuite(dir, ginkgoArguments(dir, filter, seed, likely)); err != nil {
		fmt.Fprintln(os.Stderr, "the suite:", err)
	}
	run, err := assemble(dir, started)
	if err != nil {
		return err
	}
	if len(run.NotRestored) == 0 {
		if err := dir.RemoveState(); err != nil {
			return err
		}
	}
	return publish(ctx, dir, run)
}

// ginkgoArguments is the command line of the suite's one binary. The run is ended when it
// takes much longer than is likely.
func ginkgoArguments(dir rundir.Dir, filter string, seed int64, likely time.Duration) []string {
	timeout := time.Hour + 2*likely
	args := []string{"tool", "ginkgo", "run", "--label-filter", filter, "--fail-on-empty", "--seed", strconv.FormatInt(seed, 10),
		"--output-dir", dir.Results, "--json-report", ginkgoReport, "--timeout", timeout.String(), "--poll-progress-after", "10m", "--silence-skips"}
	if focus := os.Getenv("GINKGO_FOCUS"); focus != "" {
		args = append(args, "--focus", focus)
	}
	if procs := os.Getenv("GINKGO_PROCS"); procs != "" {
		args = append(args, "--procs", procs)
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
	if os.Getenv("SKIP_RESOURCE_CLEANUP") == "" {
		reaper, err := startReaper(dir.Run)
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

// refuse leaves a summary of a run that was refused before anything changed.
func refuse(ctx context.Context, dir rundir.Dir, why error) error {
	run := &record.Run{Schema: record.SchemaVersion, ID: dir.Run, StartedAt: time.Now(), Refused: why.Error()}
	announce(ctx, run)
	return errors.Join(record.Summarise(run).Save(dir.File(reports.SummaryFile)), dir.RemoveState())
}
