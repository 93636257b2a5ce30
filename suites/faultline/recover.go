package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"faultline/clusters"
	"faultline/clusters/engine"
	"faultline/clusters/kind"
	"faultline/fault"
	"faultline/suites/rundir"
)

// recoverFaults takes back what every run that was killed has left in effect, run by run: one that
// cannot be recovered does not keep the others from it.
func recoverFaults(ctx context.Context) error {
	dirs, err := rundir.Remaining()
	if err != nil {
		return err
	}
	tried := 0
	var errs []error
	for _, d := range dirs {
		if !recoverable(d) {
			continue
		}
		tried++
		fmt.Printf("run %s:\n", d.Run)
		if err := recoverRun(ctx, d); err != nil {
			errs = append(errs, fmt.Errorf("run %s is not recovered, its private state stays in %s: %w", d.Run, d.State, err))
		}
	}
	if tried == 0 {
		fmt.Println("nothing to recover: no run has left a fault journal, or a way to the nodes of somebody's cluster")
	}
	return errors.Join(errs...)
}

// recoverable tells whether a run has left something to undo, or something on somebody's cluster.
func recoverable(d rundir.Dir) bool {
	for _, path := range []string{d.Journal(), d.Trail()} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			return true
		}
	}
	return false
}

// recoverRun undoes every open fault of a run over the way of its game day, or into the containers
// that kind has made, and then takes away what a game day left. The private state of other runs
// stays: a cluster that was kept needs it.
func recoverRun(ctx context.Context, d rundir.Dir) error {
	way, err := wayOf(d)
	if err == nil {
		err = replay(ctx, d, reach(engineWhenNeeded(ctx), way))
	}
	if err != nil || way == nil {
		return err
	}
	return leaveTarget(ctx, d)
}

// forget recovers a run that is over, and removes its private state.
func forget(ctx context.Context, run string) error {
	state, err := rundir.State(run)
	if err != nil {
		return err
	}
	d := rundir.Dir{Run: run, State: state}
	if err := recoverRun(ctx, d); err != nil {
		return err
	}
	return d.RemoveState()
}

// replay undoes the open faults of the run's journal, if it has one.
func replay(ctx context.Context, d rundir.Dir, shellFor fault.ShellFor) error {
	if _, err := os.Stat(d.Journal()); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	_, err := fault.Recover(ctx, []string{d.Journal()}, shellFor, os.Stdout)
	return err
}

// engineWhenNeeded finds the container engine when the first node wants it: a game day has none.
func engineWhenNeeded(ctx context.Context) func() (*engine.Engine, error) {
	return sync.OnceValues(func() (*engine.Engine, error) { return engine.Detect(ctx) })
}

// reach is the way to a node by its name, whatever state its cluster is in: the one that is given,
// or without one into the container that kind has made.
func reach(find func() (*engine.Engine, error), way clusters.Shell) fault.ShellFor {
	return func(ctx context.Context, _, node string) (clusters.Shell, error) {
		switch {
		case node == clusters.ThisMachineName:
			return clusters.LocalShell, nil
		case way != nil:
			return way, nil
		}
		e, err := find()
		if err != nil {
			return nil, err
		}
		exists, err := kind.Exists(ctx, e, node)
		if err != nil {
			return nil, err
		}
		if !exists {
			return nil, fmt.Errorf("node %s %w", node, fault.ErrGone)
		}
		return kind.Shell(e), nil
	}
}
