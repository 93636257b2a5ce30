package kind

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"faultline/clusters"
)

// A server is a machine beside the cluster: a container of the node image that boots
// systemd but neither kubelet nor containerd, and runs etcd, a load balancer or a
// registry as a service.

// clusterLabel is on the containers of servers, with the name of their cluster. They
// cannot bear kind's label: kind would take them for its nodes.
const clusterLabel = "faultline.cluster"

// startServers creates the containers of all members that are no nodes of Kubernetes.
func (b *boot) startServers(ctx context.Context) error {
	members := b.placed(func(r clusters.Role) bool { return !r.Kubernetes() })
	nodes := make([]*clusters.Node, len(members))
	var group errgroup.Group
	for i, m := range members {
		group.Go(func() (err error) {
			nodes[i], err = b.startServer(ctx, m)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	b.cluster.Nodes = append(b.cluster.Nodes, nodes...)
	return nil
}

func (b *boot) startServer(ctx context.Context, m placement) (*clusters.Node, error) {
	args := []string{
		"run", "--detach", "--tty", "--name", m.node, "--hostname", m.node,
		"--label", clusterLabel + "=" + b.name, "--label", clusters.RunLabel + "=" + b.Run,
		"--network", networkName(b.Run), "--privileged", "--cgroupns=private", "--security-opt", "seccomp=unconfined",
		"--tmpfs", "/tmp", "--tmpfs", "/run", "--volume", clusters.EtcdData,
	}
	for _, mount := range b.mounts(m) {
		args = append(args, "--volume", mount.HostPath+":"+mount.ContainerPath)
	}
	args = append(args, b.Images.Node, "systemd.mask=kubelet.service", "systemd.mask=containerd.service")
	if _, err := b.Engine.Run(ctx, args...); err != nil {
		return nil, fmt.Errorf("start %s: %w", m.node, err)
	}
	out, err := b.Engine.Run(ctx, "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", m.node)
	if err != nil {
		return nil, err
	}
	address := strings.TrimSpace(string(out))
	if address == "" {
		return nil, fmt.Errorf("%s has no address: it ended at once; see: %s logs %s", m.node, b.Engine.Name(), m.node)
	}
	return b.node(m, address), nil
}

// configureServers brings every server's service up.
func (b *boot) configureServers(ctx context.Context) error {
	servers := slices.DeleteFunc(slices.Clone(b.cluster.Nodes), func(n *clusters.Node) bool { return n.Role.Kubernetes() })
	if err := prepareDisks(ctx, servers); err != nil {
		return err
	}
	if err := b.limitResources(ctx, servers); err != nil {
		return err
	}
	var group errgroup.Group
	for _, role := range []clusters.Role{clusters.EtcdServer, clusters.EventsServer, clusters.Database} {
		group.Go(func() error { return b.configureEtcd(ctx, b.cluster.With(role)) })
	}
	group.Go(func() error { return b.configureBalancers(ctx) })
	return group.Wait()
}

// bootTime limits how long systemd takes until it accepts orders.
const bootTime = time.Minute

// startServices enables and starts services as soon as the server's systemd listens.
func startServices(ctx context.Context, n *clusters.Node, services ...string) error {
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	script := `systemctl daemon-reload && systemctl enable --quiet --now "$@"`
	argv := append([]string{"sh", "-c", script, "sh"}, services...)
	what := fmt.Sprintf("%s to start on %s", strings.Join(services, " and "), n.Name)
	return clusters.Await(ctx, 100*time.Millisecond, what, func(ctx context.Context) error {
		_, err := n.Exec(ctx, argv...)
		return err
	})
}
