package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"faultline/clusters"
	"faultline/clusters/kind"
	"faultline/fault"
)

const (
	// faultRuns is how often each fault is injected.
	faultRuns = 50
	// againTime limits how long a target takes to be whole for the next run.
	againTime = time.Minute
)

// timedFault is a fault on a node with an etcd, and the engine's own command that does
// about the same, without any proof, undo or journal.
type timedFault struct {
	fault fault.Fault
	bare  func(ctx context.Context) ([]string, error)
	// mend takes the bare command back; nil where nothing is left.
	mend []string
}

// benchFaults prints how long faults take from the call to the proven effect, beside the
// bare command, in turn on the same cluster.
func benchFaults(ctx context.Context) (err error) {
	b, err := newBencher(ctx)
	if err != nil {
		return err
	}
	c, err := kind.Create(ctx, b.next(clusters.BareEtcd(3)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.remove(ctx, c), b.close(ctx)) }()
	journal, err := fault.OpenJournal(b.options.Dir)
	if err != nil {
		return err
	}
	defer journal.Close()
	injector := fault.NewInjector(c, journal)
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "FAULT\tRUNS\tP50\tP99\tBARE P50\tBARE P99\tP50 ABOVE BARE")
	for _, t := range timedFaults(b.options.Engine.Name(), c.EtcdMembers()[0]) {
		step := b.options.Progress.Step(fmt.Sprintf("%d times %s", faultRuns, t.fault), time.Minute)
		row, err := timeFault(ctx, injector, t)
		step.Done(err)
		if err != nil {
			return errors.Join(err, injector.Restore(ctx))
		}
		fmt.Fprintln(out, row)
	}
	return out.Flush()
}

func timedFaults(engine string, member clusters.Instance) []timedFault {
	node := member.Node
	signal := func(name string) func(context.Context) ([]string, error) {
		return func(ctx context.Context) ([]string, error) {
			p, err := member.Process(ctx)
			return []string{engine, "exec", node.Name, "kill", "-s", name, strconv.Itoa(p.PID)}, err
		}
	}
	always := func(argv []string) func(context.Context) ([]string, error) {
		return func(context.Context) ([]string, error) { return argv, nil }
	}
	resume := []string{engine, "exec", node.Name, "pkill", "-CONT", "-x", string(member.Component)}
	return []timedFault{
		{fault.Kill(member), signal("KILL"), nil},
		{fault.Terminate(member), signal("TERM"), nil},
		{fault.Pause(member), signal("STOP"), resume},
		{fault.HoldDown(member), signal("KILL"), nil},
		{fault.Freeze(node), always(node.Power.Freeze), node.Power.Thaw},
		{fault.PowerOff(node), always(node.Power.Off), node.Power.On},
	}
}

// timeFault runs fault and bare command in turn.
func timeFault(ctx context.Context, injector *fault.Injector, t timedFault) (string, error) {
	var ours, bare []time.Duration
	for range faultRuns {
		if err := awaitAgain(ctx, t.fault); err != nil {
			return "", err
		}
		began := time.Now()
		i, err := injector.Inject(ctx, t.fault)
		if err != nil {
			return "", err
		}
		ours = append(ours, time.Since(began))
		if err := i.Undo(ctx); err != nil {
			return "", err
		}
		if err := awaitAgain(ctx, t.fault); err != nil {
			return "", err
		}
		took, err := timeBare(ctx, t)
		if err != nil {
			return "", err
		}
		bare = append(bare, took)
	}
	return fmt.Sprintf("%s\t%d\t%s\t%s\t%s\t%s\t%s", t.fault.Kind, faultRuns,
		milliseconds(rank(ours, 50)), milliseconds(rank(ours, 99)), milliseconds(rank(bare, 50)), milliseconds(rank(bare, 99)),
		milliseconds(rank(ours, 50)-rank(bare, 50))), nil
}

// awaitAgain waits until the target can be broken once more.
func awaitAgain(ctx context.Context, f fault.Fault) error {
	ctx, cancel := context.WithTimeout(ctx, againTime)
	defer cancel()
	return clusters.Await(ctx, 100*time.Millisecond, "the next run of "+f.String(), f.Available)
}

func timeBare(ctx context.Context, t timedFault) (time.Duration, error) {
	argv, err := t.bare(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	_, err = clusters.LocalShell(ctx, clusters.ThisMachineName, nil, argv...)
	took := time.Since(began)
	if err == nil && t.mend != nil {
		_, err = clusters.LocalShell(ctx, clusters.ThisMachineName, nil, t.mend...)
	}
	return took, err
}

// rank is the nearest-rank percentile.
func rank(all []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)*percent+99)/100-1]
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.0f ms", float64(d.Microseconds())/1000)
}
