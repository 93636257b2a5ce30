package kind

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/cluster/nodes"

	"faultline/clusters"
	"faultline/clusters/progress"
)

// boot is a cluster on its way from a topology to a proven shape.
type boot struct {
	Options
	name     string
	dir      string // private files of this cluster
	provider *cluster.Provider
	step     *progress.Step
	cluster  *clusters.Cluster
	shared   netip.Addr // that load balancers share

	signing     sync.Mutex
	authorities map[string]*authority
}

func newBoot(o Options, provider *cluster.Provider) *boot {
	name := ClusterName(o.Run, o.Sequence)
	return &boot{
		Options: o, name: name, dir: filepath.Join(o.Dir, name), provider: provider,
		authorities: map[string]*authority{},
		cluster: &clusters.Cluster{
			Name: name, Run: o.Run, Topology: o.Topology, Timing: o.Timing, HostLabel: clusters.HostLabel,
			Kubernetes: o.Images.KubernetesVersion, Etcd: o.Images.EtcdVersion,
		},
	}
}

// shapePoll is how often a new cluster is looked at.
const shapePoll = 250 * time.Millisecond

// run does everything in order.
func (b *boot) run(ctx context.Context) error {
	if err := storageSupport(ctx, b.Engine, b.Images.Node, b.Topology); err != nil {
		return err
	}
	if err := b.makeFolders(); err != nil {
		return err
	}
	if err := ensureNetwork(ctx, b.Engine, b.Run); err != nil {
		return err
	}
	b.step.Update("starting containers")
	if err := b.startServers(ctx); err != nil {
		return err
	}
	start := b.startEtcd
	if b.Topology.Kubernetes() {
		start = b.startCluster
	}
	if err := start(ctx); err != nil {
		return err
	}
	return b.proveShape(ctx)
}

// proveShape waits for the shape and shows what is still missing.
func (b *boot) proveShape(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(b.Timing.Slack*float64(4*time.Minute)))
	defer cancel()
	return clusters.Await(ctx, shapePoll, "the shape of "+b.name, func(ctx context.Context) error {
		err := b.cluster.CheckShape(ctx)
		if err != nil {
			reason, _, _ := strings.Cut(err.Error(), "\n")
			b.step.Update(fmt.Sprintf("proving the shape: %.120s", reason))
		}
		return err
	})
}

// startEtcd brings up a cluster that is etcd and nothing else.
func (b *boot) startEtcd(ctx context.Context) error {
	if err := b.cluster.Connect(Shell(b.Engine)); err != nil {
		return err
	}
	return b.configureServers(ctx)
}

// startCluster brings up Kubernetes with everything beside it.
func (b *boot) startCluster(ctx context.Context) error {
	if err := b.nameEndpoint(ctx); err != nil {
		return err
	}
	b.cluster.Reach(Shell(b.Engine))
	var group errgroup.Group
	group.Go(func() error { return b.configureServers(ctx) })
	group.Go(func() error { return b.provision(ctx) })
	if err := group.Wait(); err != nil {
		return err
	}
	if err := b.discover(ctx); err != nil {
		return err
	}
	if err := b.prepareNodes(ctx); err != nil {
		return err
	}
	loading := make(chan error, 1)
	go func() { loading <- loadImage(ctx, b.Engine, b.provider, b.name, b.Images.Workload) }()
	err := b.startKubernetes(ctx)
	if err := errors.Join(err, <-loading); err != nil {
		return err
	}
	return b.finish(ctx)
}

// prepareNodes does what has to be done before kubeadm runs.
func (b *boot) prepareNodes(ctx context.Context) error {
	nodes := slices.Concat(b.cluster.With(clusters.ControlPlane), b.cluster.With(clusters.Worker))
	if err := prepareDisks(ctx, nodes); err != nil {
		return err
	}
	if profile := b.Timing.Profile; profile.Name != clusters.DocumentedProfile().Name {
		if err := writePatches(ctx, nodes, profile); err != nil {
			return err
		}
	}
	if err := airGap(ctx, b.cluster); err != nil {
		return err
	}
	if err := b.limitResources(ctx, nodes); err != nil {
		return err
	}
	if err := b.trustStores(ctx); err != nil {
		return err
	}
	if err := b.publishNames(ctx); err != nil {
		return err
	}
	return b.balance(ctx)
}

// finish turns what kubeadm made into what the topology says.
func (b *boot) finish(ctx context.Context) error {
	if err := b.saveKubeconfig(ctx); err != nil {
		return err
	}
	if err := b.cluster.Connect(Shell(b.Engine)); err != nil {
		return err
	}
	if err := b.placeComponents(ctx); err != nil {
		return err
	}
	if err := b.allowWorkloads(ctx); err != nil {
		return err
	}
	return furnish(ctx, b.cluster, b.Options)
}

// provision lets kind make its containers and write kubeadm's configuration.
func (b *boot) provision(ctx context.Context) error {
	machine, err := examine()
	if err != nil {
		return err
	}
	err = interruptible(ctx, b.Engine, b.name, b.Dir, func() error {
		return b.provider.Create(b.name,
			cluster.CreateWithV1Alpha4Config(b.configure(machine)),
			cluster.CreateWithNodeImage(b.Images.Node),
			cluster.CreateWithStopBeforeSettingUpKubernetes(true),
		)
	})
	if err != nil {
		return withOutput(err)
	}
	return nil
}

// discover finds kind's containers and which member each of them is.
func (b *boot) discover(ctx context.Context) error {
	containers, err := b.provider.ListNodes(b.name)
	if err != nil {
		return fmt.Errorf("list the nodes of %s: %w", b.name, err)
	}
	byName := map[string]nodes.Node{}
	for _, n := range containers {
		byName[n.String()] = n
	}
	var found []*clusters.Node
	for _, m := range b.placed(clusters.Role.Kubernetes) {
		container, ok := byName[m.node]
		if !ok {
			return fmt.Errorf("kind made no node %s", m.node)
		}
		address, _, err := container.IP()
		if err != nil {
			return fmt.Errorf("address of %s: %w", m.node, err)
		}
		found = append(found, b.node(m, address))
	}
	b.cluster.Nodes = append(found, b.cluster.Nodes...)
	if err := b.findBalancer(ctx, byName); err != nil {
		return err
	}
	b.cluster.Reach(Shell(b.Engine))
	return nil
}

// node is a running member.
func (b *boot) node(m placement, address string) *clusters.Node {
	n := &clusters.Node{
		Name: m.node, Host: m.host.Name, Role: m.Role, Address: address, Components: b.Topology.Components(m.Member),
		Reserved: m.Role == clusters.ControlPlane && !m.Workloads,
		Power:    powerOf(b.Engine, networkName(b.Run), m.node, address, b.alias(m.Role)),
	}
	for _, d := range m.host.Disks {
		if d.Name == m.Disk {
			n.Disk, n.DiskHost = &d, m.host.Name
		}
	}
	return n
}

// saveKubeconfig writes the administrator's configuration for the cluster's front.
func (b *boot) saveKubeconfig(ctx context.Context) error {
	master := b.cluster.With(clusters.ControlPlane)[0]
	admin, err := master.Exec(ctx, "cat", "/etc/kubernetes/admin.conf")
	if err != nil {
		return fmt.Errorf("read the administrator's configuration on %s: %w", master.Name, err)
	}
	config, err := clientcmd.Load(admin)
	if err != nil {
		return fmt.Errorf("the administrator's configuration on %s: %w", master.Name, err)
	}
	for _, c := range config.Clusters {
		c.Server, c.TLSServerName = "https://"+b.cluster.Front().Address, clusters.ServerName
	}
	b.cluster.Kubeconfig = filepath.Join(b.dir, "kubeconfig")
	return clientcmd.WriteToFile(*config, b.cluster.Kubeconfig)
}
