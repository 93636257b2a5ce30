package clusters

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
)

// talker is a client of the API on a node, with the file that says which API server
// it talks to.
type talker struct {
	name, kubeconfig string
	// servers are the host:port that are right for it.
	servers []string
}

// checkConnections proves that each kubelet, scheduler and controller manager talks to
// the API server that it should: one of its own node where there is one, as kubeadm
// sets it up, else whatever stands before all.
func (c *Cluster) checkConnections(ctx context.Context) error {
	var group errgroup.Group
	for _, n := range c.Nodes {
		if n.Role.Kubernetes() {
			group.Go(func() error { return c.checkNodeConnections(ctx, n) })
		}
	}
	return group.Wait()
}

func (c *Cluster) checkNodeConnections(ctx context.Context, n *Node) error {
	talkers := c.talkers(n)
	argv := []string{"sh", "-c", `for f in "$@"; do sed -n 's/^ *server: //p' "$f" || exit; done`, "sh"}
	for _, t := range talkers {
		argv = append(argv, t.kubeconfig)
	}
	out, err := n.Exec(ctx, argv...)
	if err != nil {
		return fmt.Errorf("which API servers %s talks to: %w", n.Name, err)
	}
	servers := strings.Fields(string(out))
	if len(servers) != len(talkers) {
		return fmt.Errorf("which API servers %s talks to: %d answers for %d files", n.Name, len(servers), len(talkers))
	}
	for i, t := range talkers {
		if server := strings.TrimPrefix(servers[i], "https://"); !slices.Contains(t.servers, server) {
			return fmt.Errorf("%s on %s talks to %s, want %s", t.name, n.Name, server, strings.Join(t.servers, " or "))
		}
	}
	return nil
}

// talkers are the API's clients on a node.
func (c *Cluster) talkers(n *Node) []talker {
	front := []string{c.FrontName(), c.Front().Address}
	all := []talker{{"kubelet", "/etc/kubernetes/kubelet.conf", slices.Clone(front)}}
	own := n.Instances(APIServer)
	if len(own) > 0 {
		all[0].servers = append(all[0].servers, own[0].endpoint().Address)
	}
	for _, component := range []Component{Scheduler, ControllerManager} {
		for at, i := range n.Instances(component) {
			t := talker{i.Name(), i.Kubeconfig(), front}
			if len(own) > 0 {
				t.servers = []string{own[min(at, len(own)-1)].endpoint().Address}
			}
			all = append(all, t)
		}
	}
	return all
}

// Kubeconfig is the path of what the scheduler or controller manager talks to the API with.
func (i Instance) Kubeconfig() string {
	return "/etc/kubernetes/" + strings.TrimPrefix(i.Name(), "kube-") + ".conf"
}

// FrontName is the host:port by which the cluster's own clients know its front. It is
// not always an address.
func (c *Cluster) FrontName() string {
	if c.Endpoint != "" {
		return c.Endpoint
	}
	return c.Front().Address
}

// checkFront proves that what stands before the API servers is what the topology says:
// exactly one balancer holds their shared address and each forwards, or the common name
// leads to every API server.
func (c *Cluster) checkFront(ctx context.Context) error {
	switch c.Topology.LoadBalancer {
	case SharedAddress:
		return c.checkBalancers(ctx)
	case DNSRecords:
		return c.checkRecords(ctx)
	default:
		return nil
	}
}

func (c *Cluster) checkBalancers(ctx context.Context) error {
	holders, err := c.AddressHolders(ctx)
	if err != nil {
		return err
	}
	if len(holders) != 1 {
		return fmt.Errorf("the shared address %s is held by %d load balancers, want one", c.Balancer.Address, len(holders))
	}
	for _, n := range c.With(Balancer) {
		e := Endpoint{Name: n.Name, Address: net.JoinHostPort(n.Address, strconv.Itoa(ports[APIServer].first))}
		if err := c.checkReady(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) checkRecords(ctx context.Context) error {
	name, _, err := net.SplitHostPort(c.Endpoint)
	if err != nil {
		return fmt.Errorf("the API's name %q: %w", c.Endpoint, err)
	}
	var want []string
	for _, n := range c.With(ControlPlane) {
		want = append(want, n.Address)
	}
	slices.Sort(want)
	asked := c.WorkloadNodes()[0]
	out, err := asked.Exec(ctx, "getent", "ahostsv4", name)
	if err != nil {
		return fmt.Errorf("resolve %s on %s: %w", name, asked.Name, err)
	}
	var have []string
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 0 {
			have = append(have, f[0])
		}
	}
	slices.Sort(have)
	if have = slices.Compact(have); !slices.Equal(have, want) {
		return fmt.Errorf("%s leads to %v, want %v", name, have, want)
	}
	return nil
}

// AddressHolders lists the balancers that have the shared address now.
func (c *Cluster) AddressHolders(ctx context.Context) ([]*Node, error) {
	address, _, err := net.SplitHostPort(c.Balancer.Address)
	if err != nil {
		return nil, err
	}
	var holders []*Node
	for _, n := range c.With(Balancer) {
		out, err := n.Exec(ctx, "ip", "-4", "-o", "addr", "show", "to", address)
		if err != nil {
			return nil, fmt.Errorf("addresses of %s: %w", n.Name, err)
		}
		if len(strings.TrimSpace(string(out))) > 0 {
			holders = append(holders, n)
		}
	}
	return holders, nil
}
