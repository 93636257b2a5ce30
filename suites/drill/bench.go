package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"

	"faultline/clusters"
	"faultline/clusters/engine"
	"faultline/clusters/images"
	"faultline/clusters/kind"
	"faultline/clusters/progress"
	"faultline/fault"
	"faultline/reports/record"
	"faultline/suites/probe"
	"faultline/suites/rundir"
)

// Bench is what the drills of one process share: the engine, the images, the
// fault journal, and the cluster that is up now. There is one cluster a
// process at a time, because clusters share this machine's cores with the
// probes that watch them.
type Bench struct {
	Dir      rundir.Dir
	Engine   *engine.Engine
	Images   images.Set
	Timing   clusters.Timing
	Progress *progress.Printer

	plan        rundir.Plan
	journal     *fault.Journal
	cluster     *clusters.Cluster
	workload    *probe.Deployed
	spoiled     string          // why the cluster is not used again
	disturbed   time.Time       // when the cluster was made or etcd last changed its leader
	retired     []*probe.Ledger // whose objects are still in the cluster
	clusters    int
	experiments int
}

var bench *Bench

// Open prepares the bench of this process. Every error comes before a cluster exists.
func Open(ctx context.Context) error {
	spareTheCluster()
	timing, err := clusters.TimingFromEnv()
	if err != nil {
		return err
	}
	dir, err := rundir.Join()
	if err != nil {
		return err
	}
	b := &Bench{Dir: dir, Timing: timing, Progress: progress.New(os.Stdout)}
	if b.Engine, err = engine.Ensure(ctx, engine.Options{Progress: b.Progress}); err != nil {
		return err
	}
	if b.Images, err = images.Ensure(ctx, b.Engine, b.Progress); err != nil {
		return err
	}
	if b.plan, err = dir.LoadPlan(); err != nil {
		return err
	}
	if b.journal, err = fault.OpenJournal(dir.State); err != nil {
		return err
	}
	bench = b
	return b.saveEnvironment()
}

// spareTheCluster keeps the probes on one core. One is enough for them, and passing
// work between two costs as much as a tenth of the samples.
func spareTheCluster() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}

// Close removes what this process made. SKIP_RESOURCE_CLEANUP keeps the cluster.
func Close(ctx context.Context) error {
	if bench == nil {
		return nil
	}
	if rundir.KeepsCluster() && bench.cluster != nil {
		bench.Progress.Printf("kept: cluster %s; KUBECONFIG=%s; remove it with: make clean", bench.cluster.Name, bench.cluster.Kubeconfig)
		return bench.journal.Close()
	}
	return errors.Join(bench.discard(ctx), bench.journal.Close())
}

// CloseRun removes what all processes of the run shared.
func CloseRun(ctx context.Context) error {
	if bench == nil || rundir.KeepsCluster() {
		return nil
	}
	return kind.DeleteNetwork(ctx, bench.Engine, bench.Dir.Run)
}

// acquire returns a cluster of the topology that is as good as new: the one
// that is up, or another.
func (b *Bench) acquire(ctx context.Context, name string) (*clusters.Cluster, error) {
	topology, err := clusters.Find(name)
	if err != nil {
		return nil, err
	}
	if b.cluster != nil && b.cluster.Topology.Name == name && b.spoiled == "" {
		err := errors.Join(b.clearWrites(ctx), b.renew(ctx))
		if err == nil {
			return b.cluster, nil
		}
		b.spoiled = err.Error()
	}
	if b.spoiled != "" {
		b.Progress.Printf("%s is not as good as new, taking a fresh cluster: %s", b.cluster.Name, b.spoiled)
	}
	if err := b.discard(ctx); err != nil {
		return nil, err
	}
	return b.create(ctx, topology)
}

// renew has the kubelets forget what crashed while the cluster came up or in an experiment. Where
// one was restarted for that, the cluster is proven as good as new once more.
func (b *Bench) renew(ctx context.Context) error {
	restarted, err := b.cluster.ForgetCrashes(ctx)
	if err != nil || !restarted {
		return err
	}
	return b.awaitAsNew(ctx)
}

// renewTime is how long pods may be called not ready whose kubelet was restarted, and what was
// deleted may take to be gone.
const renewTime = 20 * time.Second

// awaitAsNew waits until the cluster is as good as when it was new.
func (b *Bench) awaitAsNew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(b.Timing.Slack*float64(renewTime)))
	defer cancel()
	return clusters.Await(ctx, time.Second, "a cluster as good as new", b.cluster.CheckAsNew)
}

func (b *Bench) create(ctx context.Context, topology clusters.Topology) (*clusters.Cluster, error) {
	b.clusters++
	c, err := kind.Create(ctx, kind.Options{
		Topology: topology, Timing: b.Timing, Engine: b.Engine, Images: b.Images, Run: b.Dir.Run,
		Sequence: ginkgo.GinkgoParallelProcess()*100 + b.clusters, Dir: b.Dir.State, Logs: b.Dir.Results, Progress: b.Progress,
	})
	if err != nil {
		return nil, err
	}
	b.cluster, b.disturbed, b.workload = c, time.Now(), nil
	if c.Topology.Kubernetes() {
		step := b.Progress.Step("workloads on "+c.Name, 15*time.Second)
		err = b.equip(ctx, c)
		step.Done(err)
	}
	if err == nil {
		err = c.Remember(ctx, probe.Namespaces()...)
	}
	if err == nil {
		err = b.renew(ctx)
	}
	if err != nil {
		b.spoiled = err.Error()
	}
	return c, err
}

// equip brings the workload that is probed, and what drills change.
func (b *Bench) equip(ctx context.Context, c *clusters.Cluster) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(b.Timing.Slack*float64(2*time.Minute)))
	defer cancel()
	if b.workload, err = probe.Deploy(ctx, c, probe.WorkloadOptions{Image: b.Images.Workload}); err != nil {
		return err
	}
	return b.furnish(ctx, c)
}

// discard deletes the cluster that is up, if any.
func (b *Bench) discard(ctx context.Context) error {
	if b.cluster == nil {
		return nil
	}
	c := b.cluster
	b.cluster, b.spoiled, b.retired = nil, "", nil
	closeErr := c.Close()
	if err := kind.Delete(ctx, b.Engine, c.Name, b.Dir.State); err != nil {
		return err
	}
	return closeErr
}

// startProbes starts all probes; lying ones see only success. They run until
// they are stopped, also after an interrupt.
func (b *Bench) startProbes(ctx context.Context, c *clusters.Cluster, lie bool) (*probe.Set, error) {
	set, err := probe.New(c, probe.Options{Workload: b.workload, Lie: lie})
	if err != nil {
		return nil, err
	}
	return set, set.Start(ctx)
}

// keptWrites is how many objects of retired ledgers may stay in a cluster. They cost
// each API server a few kilobytes of memory each.
const keptWrites = 10_000

// clearTime is how long their deletion may take. It is slow, and where it hangs another
// cluster is quicker.
const clearTime = 3 * time.Minute

// clearWrites deletes the objects of audited ledgers, which is slow, once too many have gathered
// in a cluster that is used again. Else they go with it.
func (b *Bench) clearWrites(ctx context.Context) error {
	kept := 0
	for _, l := range b.retired {
		kept += l.Attempted()
	}
	if kept <= keptWrites {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, clearTime)
	defer cancel()
	for _, l := range b.retired {
		if err := l.Clear(ctx, b.cluster); err != nil {
			return err
		}
	}
	b.retired = nil
	return nil
}

// nextExperiment numbers the experiments of the run over all processes.
func (b *Bench) nextExperiment() string {
	b.experiments++
	return fmt.Sprintf("e%d%02d", ginkgo.GinkgoParallelProcess(), b.experiments)
}

// likely is how long an experiment is likely to take; zero where nobody knows.
func (b *Bench) likely(name string) time.Duration {
	return time.Duration(b.plan.Experiments[name] * float64(time.Second))
}

// outlook is where an experiment is in the run, and how long it is likely to take.
func (b *Bench) outlook(name string) string {
	about := b.likely(name)
	if about == 0 {
		return name
	}
	return fmt.Sprintf("(%d of %d, minute %.0f of about %.0f) %s, about %.0f s", b.Dir.Done()+1, len(b.plan.Experiments),
		time.Since(b.plan.StartedAt).Minutes(), b.plan.Seconds()/60, name, about.Seconds())
}

// saveEnvironment writes what the figures of this run depend on.
func (b *Bench) saveEnvironment() error {
	e := record.Environment{
		Kubernetes: b.Images.KubernetesVersion, Etcd: b.Images.EtcdVersion, NodeImage: b.Images.Node,
		ImageOrigin: b.Images.Origin, LoadBalancer: b.Images.LoadBalancerKind, Engine: b.Engine.Name(),
		Kernel: kernelRelease(), CgroupVersion: cgroupVersion(), Cores: runtime.NumCPU(),
		MemoryBytes: engine.TotalMemory(), Profile: b.Timing.Profile.Name, Slack: b.Timing.Slack,
		Seed: ginkgo.GinkgoRandomSeed(),
	}
	return record.SaveJSON(b.Dir.Environment(), e)
}

func cgroupVersion() int {
	if engine.CgroupV2(kind.CgroupRoot) {
		return 2
	}
	return 1
}

func kernelRelease() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(release))
}
