// Package kind turns a topology into a running cluster of kind nodes, and
// removes clusters and everything that belongs to them.
package kind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/cluster/nodeutils"
	"sigs.k8s.io/kind/pkg/exec"

	"faultline/clusters"
	"faultline/clusters/engine"
	"faultline/clusters/images"
	"faultline/clusters/progress"
)

// Options tell how and where a topology becomes a cluster.
type Options struct {
	Topology clusters.Topology
	Timing   clusters.Timing
	Engine   *engine.Engine
	Images   images.Set
	// Run and Sequence make the cluster's name, see ClusterName.
	Run      string
	Sequence int
	// Dir is a private directory of the run: the kubeconfig goes there.
	Dir string
	// Logs is where the nodes' logs go when a cluster does not come up; empty: nowhere.
	Logs     string
	Progress *progress.Printer
}

// prefix begins the name of everything that belongs to Faultline. kind labels
// the containers of a cluster with the cluster's name, so the name carries the run.
const prefix = "faultline-"

// ClusterName is the name of the n-th cluster of a run.
func ClusterName(run string, n int) string { return fmt.Sprintf("%s%s-%d", prefix, run, n) }

// Create starts a cluster and proves its shape. When ctx ends or anything
// fails, nothing of the cluster remains.
func Create(ctx context.Context, o Options) (*clusters.Cluster, error) {
	if err := o.Topology.Validate(); err != nil {
		return nil, err
	}
	name := ClusterName(o.Run, o.Sequence)
	provider := cluster.NewProvider(o.Engine.ProviderOption())
	if err := refuseForeign(ctx, o.Engine, name); err != nil {
		return nil, err
	}
	need := engine.Requirements{
		MemoryBytes: o.Topology.MemoryBytes(), DiskBytes: o.Topology.DiskBytes(), InotifyInstances: o.Topology.InotifyInstances(),
	}
	if err := engine.Enough(ctx, o.Engine, need); err != nil {
		return nil, fmt.Errorf("topology %s: %w", o.Topology.Name, err)
	}
	b := newBoot(o, provider)
	b.step = o.Progress.Step(fmt.Sprintf("cluster %s (%s)", name, o.Topology.Name), Estimate(o.Topology))
	err := b.run(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("create cluster %s (%s): %w", name, o.Topology.Name, err), b.giveUp(ctx))
	}
	b.step.Done(err)
	return b.cluster, err
}

// giveUp removes what there is of the cluster, after saving why it failed.
func (b *boot) giveUp(ctx context.Context) error {
	var errs []error
	if b.Logs != "" && ctx.Err() == nil {
		dir := filepath.Join(b.Logs, "boot-"+b.name)
		if err := b.saveLogs(ctx, dir); err != nil {
			errs = append(errs, fmt.Errorf("not all logs of the nodes could be saved: %w", err))
		}
		errs = append(errs, fmt.Errorf("the nodes' logs are in %s", dir))
	}
	ctx = context.WithoutCancel(ctx)
	return errors.Join(append(errs, b.cluster.Close(), Delete(ctx, b.Engine, b.name, b.Dir))...)
}

// Estimate is what a cluster takes on two cores, from measurements.
func Estimate(t clusters.Topology) time.Duration {
	masters, workers := t.Count(clusters.ControlPlane), t.Count(clusters.Worker)
	servers := len(t.Members()) - masters - workers
	all := time.Duration(2+servers) * time.Second
	if masters > 0 {
		all += 20*time.Second + time.Duration(masters-1)*18*time.Second + time.Duration(workers)*9*time.Second
	}
	return all
}

// refuseForeign keeps us from taking over, or deleting, a cluster that exists.
func refuseForeign(ctx context.Context, e *engine.Engine, name string) error {
	exists, err := ClusterExists(ctx, e, name)
	if err != nil {
		return fmt.Errorf("look for containers: %w", err)
	}
	if exists {
		return fmt.Errorf("a cluster named %s exists already and is left alone; remove Faultline's clusters with: make clean", name)
	}
	return nil
}

// withOutput adds what the failed command said, which kind keeps to itself.
func withOutput(err error) error {
	if err == nil {
		return nil
	}
	if failed := exec.RunErrorForError(err); failed != nil {
		output := strings.TrimSpace(string(failed.Output))
		return fmt.Errorf("%w: %s", err, output[max(0, len(output)-2000):])
	}
	return err
}

// Shell runs commands on nodes through the engine, never through the API.
func Shell(e *engine.Engine) clusters.Shell {
	return func(ctx context.Context, node string, stdin io.Reader, argv ...string) ([]byte, error) {
		if stdin == nil {
			return e.Exec(ctx, node, argv...)
		}
		return e.ExecInput(ctx, node, stdin, argv...)
	}
}

// interruptible runs kind's creation, which takes no context. When ctx ends, the
// node containers are removed under its feet until it gives up.
func interruptible(ctx context.Context, e *engine.Engine, name, dir string, create func() error) error {
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = create()
	}()
	select {
	case <-done:
		return err
	case <-ctx.Done():
	}
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	for {
		// Errors do not matter here: the caller deletes once more, and reports.
		_ = Delete(context.WithoutCancel(ctx), e, name, dir)
		select {
		case <-done:
			return context.Cause(ctx)
		case <-again.C:
		}
	}
}

// nodeName is kind's name for the n-th node of a role, and ours for servers.
func nodeName(cluster string, role clusters.Role, n int) string {
	if n == 1 {
		return fmt.Sprintf("%s-%s", cluster, role)
	}
	return fmt.Sprintf("%s-%s%d", cluster, role, n)
}

// loadTime limits how long a node takes to get a small image.
const loadTime = 2 * time.Minute

// loadImage puts an image of this machine's engine into every node.
func loadImage(ctx context.Context, e *engine.Engine, provider *cluster.Provider, name, image string) error {
	ctx, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	archive, err := e.Run(ctx, "save", image)
	if err != nil {
		return fmt.Errorf("save image %s: %w", image, err)
	}
	list, err := provider.ListInternalNodes(name)
	if err != nil {
		return err
	}
	var group errgroup.Group
	for _, n := range list {
		group.Go(func() error {
			// kind has restarted containerd, which may not listen yet.
			what := fmt.Sprintf("image %s to be loaded into %s", image, n)
			return clusters.Await(ctx, 200*time.Millisecond, what, func(context.Context) error {
				return withOutput(nodeutils.LoadImageArchive(n, bytes.NewReader(archive)))
			})
		})
	}
	return group.Wait()
}
