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

	"golang.org/x/sync/errgroup"

	"faultline/clusters"
	"faultline/clusters/engine"
	"faultline/clusters/images"
	"faultline/clusters/kind"
	"faultline/clusters/progress"
	"faultline/suites/rundir"
)

// benchRun is the run of the benchmark's clusters.
const benchRun = "bench"

// figures are what one topology cost, on the whole machine.
type figures struct {
	ready  time.Duration // to a proven shape
	cpu    time.Duration // of all cores
	memory uint64        // bytes in use by the containers, when ready
	reuse  time.Duration // to prove that the cluster is as good as new
	plain  time.Duration // of plain kind, zero where there is none
}

// bencher creates clusters one after another and measures them.
type bencher struct {
	options  kind.Options
	sequence int
	plain    map[string]time.Duration // by numbers of nodes
}

// benchTopologies prints, for each topology of TOPOLOGIES (all of them if it is empty),
// what it takes to come up, beside plain kind with the same number of nodes. With the
// smallest of them it also compares several clusters that boot at once with one.
func benchTopologies(ctx context.Context) (err error) {
	chosen, err := topologiesFromEnv()
	if err != nil {
		return err
	}
	b, err := newBencher(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close(ctx)) }()
	var rows []string
	var failed []error
	for _, t := range chosen {
		f, err := b.measure(ctx, t)
		if ctx.Err() != nil {
			return err
		}
		rows, failed = append(rows, row(t, f, err)), append(failed, err)
	}
	printRows(rows)
	if slices.ContainsFunc(chosen, func(t clusters.Topology) bool { return t.Name == clusters.SingleHostMinimal().Name }) {
		failed = append(failed, b.atOnce(ctx, 3))
	}
	return errors.Join(failed...)
}

// topologiesVariable names the layouts to measure.
const topologiesVariable = "TOPOLOGIES"

// topologiesFromEnv reads TOPOLOGIES; the layouts of growing control planes are part
// of all.
func topologiesFromEnv() ([]clusters.Topology, error) {
	names := strings.Fields(os.Getenv(topologiesVariable))
	if len(names) == 0 {
		return slices.Concat(clusters.Documented(), clusters.Growth()), nil
	}
	var chosen []clusters.Topology
	for _, name := range names {
		n := slices.IndexFunc(clusters.Growth(), func(t clusters.Topology) bool { return t.Name == name })
		if n >= 0 {
			chosen = append(chosen, clusters.Growth()[n])
			continue
		}
		t, err := clusters.Find(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", topologiesVariable, err)
		}
		chosen = append(chosen, t)
	}
	return chosen, nil
}

func newBencher(ctx context.Context) (*bencher, error) {
	timing, err := clusters.TimingFromEnv()
	if err != nil {
		return nil, err
	}
	p := progress.New(os.Stdout)
	e, err := engine.Ensure(ctx, engine.Options{Progress: p})
	if err != nil {
		return nil, err
	}
	set, err := images.Ensure(ctx, e, p)
	if err != nil {
		return nil, err
	}
	state, err := rundir.State(benchRun)
	if err != nil {
		return nil, err
	}
	return &bencher{
		options: kind.Options{Timing: timing, Engine: e, Images: set, Run: benchRun, Dir: state, Logs: rundir.Artifacts(), Progress: p},
		plain:   map[string]time.Duration{},
	}, nil
}

// close removes what all clusters of the benchmark shared.
func (b *bencher) close(ctx context.Context) error {
	return errors.Join(kind.DeleteNetwork(context.WithoutCancel(ctx), b.options.Engine, benchRun), os.RemoveAll(b.options.Dir))
}

// next is the options of another cluster.
func (b *bencher) next(t clusters.Topology) kind.Options {
	b.sequence++
	o := b.options
	o.Topology, o.Sequence = t, b.sequence
	return o
}

func (b *bencher) measure(ctx context.Context, t clusters.Topology) (f figures, err error) {
	o := b.next(t)
	before, began := cpuTime(), time.Now()
	c, err := kind.Create(ctx, o)
	if err != nil {
		return f, err
	}
	f.ready, f.cpu = time.Since(began), cpuTime()-before
	defer func() { err = errors.Join(err, b.remove(ctx, c)) }()
	if f.memory, err = kind.MemoryInUse(ctx, o.Engine, c.Name); err != nil {
		return f, err
	}
	if err := c.Remember(ctx); err != nil {
		return f, err
	}
	began = time.Now()
	if err := c.CheckAsNew(ctx); err != nil {
		return f, err
	}
	f.reuse = time.Since(began)
	if err := b.remove(ctx, c); err != nil {
		return f, err
	}
	f.plain, err = b.plainTime(ctx, t)
	return f, err
}

func (b *bencher) remove(ctx context.Context, c *clusters.Cluster) error {
	return errors.Join(c.Close(), kind.Delete(context.WithoutCancel(ctx), b.options.Engine, c.Name, b.options.Dir))
}

// plainTime is how long plain kind takes for as many nodes, measured once.
func (b *bencher) plainTime(ctx context.Context, t clusters.Topology) (time.Duration, error) {
	if !t.Kubernetes() {
		return 0, nil
	}
	size := fmt.Sprintf("%d control-plane and %d worker nodes", t.Count(clusters.ControlPlane), t.Count(clusters.Worker))
	if known, ok := b.plain[size]; ok {
		return known, nil
	}
	o := b.next(t)
	step := b.options.Progress.Step("plain kind, "+size, time.Minute)
	began := time.Now()
	err := kind.CreatePlain(ctx, o)
	b.plain[size] = time.Since(began)
	step.Done(err)
	name := kind.ClusterName(o.Run, o.Sequence)
	return b.plain[size], errors.Join(err, kind.Delete(context.WithoutCancel(ctx), o.Engine, name, o.Dir))
}

// atOnce compares several clusters that boot at the same time with one.
func (b *bencher) atOnce(ctx context.Context, n int) error {
	took := func(n int) (time.Duration, error) {
		var group errgroup.Group
		began := time.Now()
		for range n {
			o := b.next(clusters.SingleHostMinimal())
			group.Go(func() error {
				c, err := kind.Create(ctx, o)
				if err != nil {
					return err
				}
				return c.Close()
			})
		}
		err := group.Wait()
		ready := time.Since(began)
		for s := b.sequence - n + 1; s <= b.sequence; s++ {
			err = errors.Join(err, kind.Delete(context.WithoutCancel(ctx), b.options.Engine, kind.ClusterName(benchRun, s), b.options.Dir))
		}
		return ready, err
	}
	one, err := took(1)
	if err != nil {
		return err
	}
	several, err := took(n)
	if err != nil {
		return err
	}
	fmt.Printf("\n%d clusters of %s at once: %.0f s, one: %.0f s, ratio %.2f\n",
		n, clusters.SingleHostMinimal().Name, several.Seconds(), one.Seconds(), several.Seconds()/one.Seconds())
	return nil
}

func row(t clusters.Topology, f figures, err error) string {
	if err != nil {
		reason, _, _ := strings.Cut(err.Error(), "\n")
		return fmt.Sprintf("%s\t%s", t.Name, reason)
	}
	plain, ratio := "-", "-"
	if f.plain > 0 {
		plain, ratio = fmt.Sprintf("%.1f s", f.plain.Seconds()), fmt.Sprintf("%.2f", f.ready.Seconds()/f.plain.Seconds())
	}
	return fmt.Sprintf("%s\t%.1f s\t%.0f s\t%.0f MiB\t%.1f s\t%s\t%s",
		t.Name, f.ready.Seconds(), f.cpu.Seconds(), float64(f.memory)/(1<<20), f.reuse.Seconds(), plain, ratio)
}

func printRows(rows []string) {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "TOPOLOGY\tREADY\tCPU\tMEMORY\tVERIFIED REUSE\tPLAIN KIND\tRATIO")
	for _, r := range rows {
		fmt.Fprintln(out, r)
	}
	_ = out.Flush()
}

// cpuTime is how long all cores have worked since the machine started: the first
// line of /proc/stat without its fields for idling, in hundredths of a second.
func cpuTime() time.Duration {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	var ticks int64
	for i, field := range strings.Fields(line) {
		const idle, waiting = 4, 5
		if n, err := strconv.ParseInt(field, 10, 64); err == nil && i != idle && i != waiting {
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
