package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
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

// faultsVariable names the faults to measure.
const faultsVariable = "FAULTS"

// timedFault is a fault on a node with an etcd, and the engine's own command that does
// about the same, without any proof, undo or journal.
type timedFault struct {
	fault fault.Fault
	// bare makes that command; nil where the engine has none.
	bare func(ctx context.Context) ([]string, error)
	// mend takes the bare command back; nil where nothing is left.
	mend []string
	// ends is whose process the bare command ends, sooner or later.
	ends *clusters.Instance
}

// benchFaults prints how long the faults of FAULTS (all that an etcd cluster can have, if
// it is empty) take from the call to the proven effect, how much of that is each step, and
// what the bare command takes, in turn on the same cluster.
func benchFaults(ctx context.Context) (err error) {
	kinds, err := kindsFromEnv()
	if err != nil {
		return err
	}
	b, err := newBencher(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close(ctx)) }()
	c, err := kind.Create(ctx, b.next(etcdOnDisks()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.remove(ctx, c)) }()
	timed, err := ofKinds(timedFaults(b.options.Engine.Name(), c.EtcdMembers()[0]), kinds)
	if err != nil {
		return err
	}
	journal, err := fault.OpenJournal(b.options.Dir)
	if err != nil {
		return err
	}
	defer journal.Close()
	injector := fault.NewInjector(c, journal)
	rows, err := b.timeFaults(ctx, injector, timed)
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "FAULT\tRUNS\tP50\tP99\tPLAN\tARM\tACT\tPROVE\tBARE P50\tBARE P99\tP50 ABOVE BARE")
	for _, r := range rows {
		fmt.Fprintln(out, r)
	}
	return errors.Join(err, out.Flush())
}

// etcdOnDisks is three members of etcd, each on a disk of its own.
func etcdOnDisks() clusters.Topology {
	t := clusters.BareEtcd(3)
	for i := range t.Hosts {
		t.Hosts[i].Disks = []clusters.Disk{{Name: "data", Bytes: 512 << 20, Devices: 1}}
		t.Hosts[i].Members[0].Disk = "data"
	}
	return t
}

// kindsFromEnv reads FAULTS; nothing means all.
func kindsFromEnv() ([]fault.Kind, error) {
	var kinds []fault.Kind
	for _, name := range strings.Fields(os.Getenv(faultsVariable)) {
		if !slices.ContainsFunc(fault.Catalogue(), func(e fault.Entry) bool { return e.Kind == fault.Kind(name) }) {
			return nil, fmt.Errorf("%s: unknown fault %q; make faults lists them", faultsVariable, name)
		}
		kinds = append(kinds, fault.Kind(name))
	}
	return kinds, nil
}

// ofKinds are the faults of these kinds, or all.
func ofKinds(all []timedFault, kinds []fault.Kind) ([]timedFault, error) {
	if kinds == nil {
		return all, nil
	}
	var chosen []timedFault
	for _, kind := range kinds {
		i := slices.IndexFunc(all, func(t timedFault) bool { return t.fault.Kind == kind })
		if i < 0 {
			return nil, fmt.Errorf("%s: there is no benchmark of %s, which needs more than an etcd cluster", faultsVariable, kind)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func timedFaults(engine string, member clusters.Instance) []timedFault {
	node := member.Node
	signal := func(name string) func(context.Context) ([]string, error) {
		return func(ctx context.Context) ([]string, error) {
			p, err := member.Process(ctx)
			return []string{engine, "exec", node.Name, "kill", "-s", name, strconv.Itoa(p.PID)}, err
		}
	}
	always := func(argv ...string) func(context.Context) ([]string, error) {
		return func(context.Context) ([]string, error) { return argv, nil }
	}
	inside := func(argv ...string) []string { return append([]string{engine, "exec", node.Name}, argv...) }
	resume := inside("pkill", "-CONT", "-x", string(member.Component))
	one, others := []*clusters.Node{node}, node.Neighbours()
	drop := func(action string) []string {
		return inside("iptables", "--wait", action, "INPUT", "--source", others[0].Address, "--jump", "DROP")
	}
	quota := func(microseconds string) []string {
		return []string{engine, "update", "--cpu-quota", microseconds, node.Name}
	}
	return []timedFault{
		{fault: fault.Kill(member), bare: signal("KILL"), ends: &member},
		{fault: fault.Terminate(member), bare: signal("TERM"), ends: &member},
		{fault: fault.Pause(member), bare: signal("STOP"), mend: resume},
		{fault: fault.HoldDown(member), bare: signal("KILL"), ends: &member},
		{fault: fault.StopService(member), bare: always(inside("systemctl", "stop", "etcd")...), mend: inside("systemctl", "start", "etcd")},
		{fault: fault.Freeze(node), bare: always(node.Power.Freeze...), mend: node.Power.Thaw},
		{fault: fault.PowerOff(node), bare: always(node.Power.Off...), mend: node.Power.On},
		{fault: fault.Partition(one, others[:1]), bare: always(drop("--append")...), mend: drop("--delete")},
		{fault: fault.OneWay(one, others)},
		{fault: fault.Isolate(node)},
		{fault: fault.OnPort(fault.PortEtcdPeer).Close(node)},
		{fault: fault.Loss(30, one, others)},
		{fault: fault.Delay(50*time.Millisecond, 0, one, others)},
		{fault: fault.Bandwidth(1<<20, node)},
		{fault: fault.FillDisk(node, 1<<20)},
		{fault: fault.FailDevice(node, 0)},
		{fault: fault.ThrottleDisk(node, 1<<20)},
		{fault: fault.StallDisk(node)},
		{fault: fault.ReadOnlyDisk(node)},
		{fault: fault.StressPIDs(node, 50)},
		{fault: fault.LimitNode(node, 0.5, 0), bare: always(quota("50000")...), mend: quota("-1")},
	}
}

// timeFaults makes a row of each fault. What this machine cannot do is a row too.
func (b *bencher) timeFaults(ctx context.Context, injector *fault.Injector, timed []timedFault) ([]string, error) {
	var rows []string
	for _, t := range timed {
		step := b.options.Progress.Step(fmt.Sprintf("%d times %s", faultRuns, t.fault), time.Minute)
		row, err := timeFault(ctx, injector, t)
		if errors.Is(err, clusters.ErrUnsupported) {
			row, err = fmt.Sprintf("%s\t%v", t.fault.Kind, err), nil
		}
		step.Done(err)
		if err != nil {
			return rows, errors.Join(err, injector.Restore(ctx))
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// latency is how long runs of a fault took, whole and by step.
type latency struct {
	whole, plan, arm, act, prove []time.Duration
}

// add counts an injection that was called for at began.
func (l *latency) add(began time.Time, at fault.Instants) {
	l.whole = append(l.whole, at.Landed.Sub(began))
	l.plan = append(l.plan, at.Planned.Sub(began))
	l.arm = append(l.arm, at.Armed.Sub(at.Planned))
	l.act = append(l.act, at.Injected.Sub(at.Armed))
	l.prove = append(l.prove, at.Landed.Sub(at.Injected))
}

// timeFault runs fault and bare command in turn.
func timeFault(ctx context.Context, injector *fault.Injector, t timedFault) (string, error) {
	var ours latency
	var bare []time.Duration
	for range faultRuns {
		if err := awaitAgain(ctx, t.fault); err != nil {
			return "", err
		}
		began := time.Now()
		i, err := injector.Inject(ctx, t.fault)
		if err != nil {
			return "", err
		}
		ours.add(began, i.Instants())
		if err := i.Undo(ctx); err != nil {
			return "", err
		}
		if t.bare == nil {
			continue
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
	return latencyRow(t.fault.Kind, ours, bare), nil
}

// latencyRow tells medians of the steps, and what the fault takes above the bare command.
func latencyRow(kind fault.Kind, ours latency, bare []time.Duration) string {
	cells := []string{string(kind), strconv.Itoa(len(ours.whole)), milliseconds(rank(ours.whole, 50)), milliseconds(rank(ours.whole, 99))}
	for _, step := range [][]time.Duration{ours.plan, ours.arm, ours.act, ours.prove} {
		cells = append(cells, milliseconds(rank(step, 50)))
	}
	if bare == nil {
		return strings.Join(append(cells, "-", "-", "-"), "\t")
	}
	above := rank(ours.whole, 50) - rank(bare, 50)
	return strings.Join(append(cells, milliseconds(rank(bare, 50)), milliseconds(rank(bare, 99)), milliseconds(above)), "\t")
}

// awaitAgain waits until the target can be broken once more.
func awaitAgain(ctx context.Context, f fault.Fault) error {
	ctx, cancel := context.WithTimeout(ctx, againTime)
	defer cancel()
	if err := f.Available(ctx); errors.Is(err, clusters.ErrUnsupported) {
		return err
	}
	return clusters.Await(ctx, 100*time.Millisecond, "the next run of "+f.String(), f.Available)
}

// timeBare runs the bare command, and waits for what it leads to without counting that.
func timeBare(ctx context.Context, t timedFault) (time.Duration, error) {
	argv, err := t.bare(ctx)
	if err != nil {
		return 0, err
	}
	over := func(context.Context) error { return nil }
	if t.ends != nil {
		if over, err = another(ctx, *t.ends); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	_, err = clusters.LocalShell(ctx, clusters.ThisMachineName, nil, argv...)
	took := time.Since(began)
	if err == nil && t.mend != nil {
		_, err = clusters.LocalShell(ctx, clusters.ThisMachineName, nil, t.mend...)
	}
	return took, errors.Join(err, over(ctx))
}

// another waits until the instance has another process than now: one that was asked to
// end runs on for a while.
func another(ctx context.Context, i clusters.Instance) (func(context.Context) error, error) {
	former, err := i.Process(ctx)
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, againTime)
		defer cancel()
		return clusters.Await(ctx, 100*time.Millisecond, "another process of "+i.String(), func(ctx context.Context) error {
			p, err := i.Process(ctx)
			if err == nil && p == former {
				err = fmt.Errorf("process %d of %s runs on", p.PID, i)
			}
			return err
		})
	}, err
}

// rank is the nearest-rank percentile.
func rank(all []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)*percent+99)/100-1]
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.0f ms", float64(d.Microseconds())/1000)
}
