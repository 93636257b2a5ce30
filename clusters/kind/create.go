// Package kind turns a topology into a running cluster of kind nodes, and
// removes clusters and everything that belongs to them.
package kind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/cluster/nodes"
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
	Dir      string
	Progress *progress.Printer
}

// prefix begins the name of everything that belongs to Faultline. kind labels
// the containers of a cluster with the cluster's name, so the name carries the run.
const prefix = "faultline-"

// runLabel is on everything that we create ourselves.
const runLabel = "faultline.run"

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
	if err := refuseForeign(provider, name); err != nil {
		return nil, err
	}
	need := engine.Requirements{MemoryBytes: o.Topology.MemoryBytes(), DiskBytes: o.Topology.DiskBytes()}
	if err := engine.Enough(ctx, o.Engine, need); err != nil {
		return nil, fmt.Errorf("topology %s: %w", o.Topology.Name, err)
	}
	step := o.Progress.Step(fmt.Sprintf("cluster %s (%s)", name, o.Topology.Name), estimate(o.Topology))
	c, err := create(ctx, provider, name, o)
	if err != nil {
		err = fmt.Errorf("create cluster %s (%s): %w", name, o.Topology.Name, err)
		if cleanErr := Delete(context.WithoutCancel(ctx), o.Engine, name, o.Dir); cleanErr != nil {
			err = errors.Join(err, cleanErr)
		}
	}
	step.Done(err)
	return c, err
}

// estimate is what a cluster takes on two cores, from measurements.
func estimate(t clusters.Topology) time.Duration {
	return 25*time.Second + time.Duration(len(t.Members())-1)*15*time.Second
}

// refuseForeign keeps us from taking over, or deleting, a cluster that exists.
func refuseForeign(provider *cluster.Provider, name string) error {
	names, err := provider.List()
	if err != nil {
		return fmt.Errorf("list kind clusters: %w", err)
	}
	if slices.Contains(names, name) {
		return fmt.Errorf("a cluster named %s exists already and is left alone; remove Faultline's clusters with: make clean", name)
	}
	return nil
}

func create(ctx context.Context, provider *cluster.Provider, name string, o Options) (*clusters.Cluster, error) {
	dir := filepath.Join(o.Dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, auditPolicyFile), []byte(auditPolicy), 0o600); err != nil {
		return nil, err
	}
	if err := ensureNetwork(ctx, o.Engine, o.Run); err != nil {
		return nil, err
	}
	machine, err := examine()
	if err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	err = interruptible(ctx, o.Engine, name, dir, func() error {
		return provider.Create(name,
			cluster.CreateWithV1Alpha4Config(configure(o.Topology, o.Timing.Profile, machine, dir)),
			cluster.CreateWithNodeImage(o.Images.Node),
			cluster.CreateWithKubeconfigPath(kubeconfig),
		)
	})
	if err != nil {
		return nil, withOutput(err)
	}
	c, err := discover(provider, name, o)
	if err != nil {
		return nil, err
	}
	c.Kubeconfig = kubeconfig
	if err := c.Connect(Shell(o.Engine)); err != nil {
		return nil, err
	}
	if err := loadImage(ctx, o.Engine, provider, name, o.Images.Workload); err != nil {
		return nil, err
	}
	if err := allowWorkloads(ctx, c); err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, time.Duration(o.Timing.Slack*float64(4*time.Minute)))
	defer cancel()
	return c, c.AwaitShape(wait)
}

// withOutput adds what the failed command said, which kind keeps to itself.
func withOutput(err error) error {
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

// discover finds the containers of the cluster and which member each of them is.
func discover(provider *cluster.Provider, name string, o Options) (*clusters.Cluster, error) {
	containers, err := provider.ListNodes(name)
	if err != nil {
		return nil, fmt.Errorf("list the nodes of %s: %w", name, err)
	}
	c := &clusters.Cluster{
		Name: name, Run: o.Run, Topology: o.Topology, Timing: o.Timing,
		Kubernetes: o.Images.KubernetesVersion, Etcd: o.Images.EtcdVersion,
	}
	byName := map[string]nodes.Node{}
	for _, n := range containers {
		byName[n.String()] = n
		role, err := n.Role()
		if err != nil {
			return nil, err
		}
		if role == "external-load-balancer" {
			address, _, err := n.IP()
			if err != nil {
				return nil, err
			}
			c.Balancer = &clusters.Endpoint{Name: clusters.LoadBalancerVantage, Address: address + ":6443"}
		}
	}
	numbers := map[clusters.Role]int{}
	for _, m := range placed(o.Topology) {
		numbers[m.Role]++
		node := nodeName(name, m.Role, numbers[m.Role])
		container, ok := byName[node]
		if !ok {
			return nil, fmt.Errorf("kind made no node %s", node)
		}
		address, _, err := container.IP()
		if err != nil {
			return nil, fmt.Errorf("address of %s: %w", node, err)
		}
		c.Nodes = append(c.Nodes, &clusters.Node{
			Name: node, Host: m.host, Role: m.Role, Address: address,
			Power: powerOf(o.Engine.Name(), networkName(o.Run), node, address),
		})
	}
	return c, nil
}

// nodeName is kind's name for the n-th node of a role.
func nodeName(cluster string, role clusters.Role, n int) string {
	if n == 1 {
		return fmt.Sprintf("%s-%s", cluster, role)
	}
	return fmt.Sprintf("%s-%s%d", cluster, role, n)
}

// loadImage puts an image of this machine's engine into every node.
func loadImage(ctx context.Context, e *engine.Engine, provider *cluster.Provider, name, image string) error {
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
			if err := nodeutils.LoadImageArchive(n, bytes.NewReader(archive)); err != nil {
				return fmt.Errorf("load image %s into %s: %w", image, n, err)
			}
			return nil
		})
	}
	return group.Wait()
}
