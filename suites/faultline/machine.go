package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"faultline/clusters"
	"faultline/clusters/engine"
	"faultline/clusters/images"
	"faultline/clusters/kind"
	"faultline/clusters/progress"
	"faultline/suites/rundir"
)

// chosen are the topologies that a machine has to manage, one cluster at a time. A larger one
// is refused when it is its turn, where the machine cannot.
var chosen = []clusters.Topology{clusters.SingleHostMinimal(), clusters.ThreeHostStacked()}

// requirements is what the largest chosen topology needs.
func requirements() engine.Requirements {
	r := engine.Requirements{Registry: images.Reachable}
	for _, t := range chosen {
		r.MemoryBytes = max(r.MemoryBytes, t.MemoryBytes())
		r.DiskBytes = max(r.DiskBytes, t.DiskBytes())
		r.InotifyInstances = max(r.InotifyInstances, t.InotifyInstances())
	}
	return r
}

// doctor prints a line a check, and fails when one does.
func doctor(ctx context.Context) error {
	if !engine.Print(os.Stdout, engine.Doctor(ctx, requirements())) {
		return errors.New("this machine cannot run the suite yet; the lines above tell the commands")
	}
	return nil
}

// prepareImages makes sure of an engine and of the images.
func prepareImages(ctx context.Context) error {
	p := progress.New(os.Stdout)
	e, err := engine.Ensure(ctx, engine.Options{Progress: p})
	if err != nil {
		return err
	}
	set, err := images.Ensure(ctx, e, p)
	if err != nil {
		return err
	}
	fmt.Printf("images (%s): %s, %s, %s\n", set.Origin, set.Node, set.LoadBalancer, set.Workload)
	return nil
}

// compiler makes sure of what the race detector needs.
func compiler(ctx context.Context) error {
	return engine.EnsureTools(ctx, engine.Options{Progress: progress.New(os.Stdout)},
		engine.Tool{Binary: "gcc", Package: "gcc"}, engine.Tool{Binary: "gcc", Package: "libc6-dev"})
}

// clean removes what any run left. Faults need no undo: their nodes go, save those of a
// game day's cluster, which is not ours to remove.
func clean(ctx context.Context) error {
	say := func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	e, err := engine.Detect(ctx)
	if err == nil {
		err = e.Ping(ctx)
	}
	if err != nil {
		say("no container engine answers, so no container of ours can run: %v", err)
	} else if err := cleanEngine(ctx, e, say); err != nil {
		return err
	}
	dirs, err := rundir.Remaining()
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range dirs {
		say("removing the private state of run %s", d.Run)
		errs = append(errs, cleanRun(ctx, d))
	}
	return errors.Join(errs...)
}

// cleanRun removes the private state of a run, and what a game day left on its cluster. It
// refuses while a fault there is not undone.
func cleanRun(ctx context.Context, d rundir.Dir) error {
	if _, err := os.Stat(d.Trail()); err != nil {
		return d.RemoveState()
	}
	open, err := notRestored(d)
	if err != nil {
		return err
	}
	if len(open) > 0 {
		return fmt.Errorf("run %s was a game day, and %d faults may still be in effect: first run make chaos-recover", d.Run, len(open))
	}
	return leaveTarget(ctx, d)
}

// cleanEngine removes clusters, networks and images that no recipe makes any more.
func cleanEngine(ctx context.Context, e *engine.Engine, say func(string, ...any)) error {
	if err := kind.Clean(ctx, e, say); err != nil {
		return err
	}
	removed, err := images.Clean(ctx, e, say)
	for _, image := range removed {
		say("removed the outdated image %s", image)
	}
	return err
}
