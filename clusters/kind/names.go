package kind

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/kind/pkg/cluster/nodes"

	"faultline/clusters"
)

// nameEndpoint decides, before kubeadm's configuration is written, by which name or
// address the cluster's own clients know the API.
func (b *boot) nameEndpoint(ctx context.Context) error {
	switch b.Topology.LoadBalancer {
	case clusters.SharedAddress:
		address, err := b.reserveAddress(ctx)
		if err != nil {
			return err
		}
		b.shared = address
		b.cluster.Balancer = b.sharedEndpoint()
		b.cluster.Endpoint = b.cluster.Balancer.Address
	case clusters.DNSRecords:
		b.cluster.Endpoint = b.alias(clusters.ControlPlane) + ":6443"
	default:
		// kind decides.
	}
	return nil
}

// alias is a name in the network's DNS that all members of a role share: the engine
// answers with the addresses of those that run. Empty: there is none.
func (b *boot) alias(role clusters.Role) string {
	if b.Topology.LoadBalancer == clusters.DNSRecords && role == clusters.ControlPlane {
		return b.name + "-api"
	}
	return ""
}

// findBalancer settles what stands before the API servers. kind makes a balancer of its
// own whenever there are several control-plane nodes; one that the topology does not
// have is removed.
func (b *boot) findBalancer(ctx context.Context, containers map[string]nodes.Node) error {
	for name, n := range containers {
		role, err := n.Role()
		if err != nil {
			return err
		}
		if role != "external-load-balancer" {
			continue
		}
		if b.Topology.LoadBalancer != clusters.OneLoadBalancer {
			if err := b.removeContainer(ctx, name); err != nil {
				return err
			}
			continue
		}
		address, _, err := n.IP()
		if err != nil {
			return fmt.Errorf("address of %s: %w", name, err)
		}
		b.cluster.Balancer = &clusters.Endpoint{Name: clusters.LoadBalancerVantage, Address: address + ":6443"}
		b.cluster.Endpoint = name + ":6443"
		b.cluster.Forwarder = b.forwarder(name, address)
	}
	masters := b.cluster.With(clusters.ControlPlane)
	if b.Topology.LoadBalancer == clusters.NoLoadBalancer {
		b.cluster.Endpoint = masters[0].Name + ":6443"
	}
	if b.Topology.LoadBalancer == clusters.DNSRecords {
		servers := b.cluster.APIServers()
		e := clusters.Endpoint{Name: clusters.DNSVantage, Address: servers[0].Address}
		for _, s := range servers[1:] {
			e.Others = append(e.Others, s.Address)
		}
		b.cluster.Balancer = &e
	}
	return nil
}

// forwarder is the machine of kind's balancer.
func (b *boot) forwarder(name, address string) *clusters.Node {
	power := powerOf(b.Engine, networkName(b.Run), name, address, "")
	return &clusters.Node{
		Name: name, Role: clusters.Balancer, Address: address, Components: []clusters.Component{clusters.Envoy}, Power: power,
		Enter: enterOf(b.Engine.Name(), name),
	}
}

// publishNames gives the masters their common name, for which their connection to the
// network has to be made anew. Nothing runs on them yet.
func (b *boot) publishNames(ctx context.Context) error {
	alias := b.alias(clusters.ControlPlane)
	if alias == "" {
		return nil
	}
	network := networkName(b.Run)
	var group errgroup.Group
	for _, n := range b.cluster.With(clusters.ControlPlane) {
		group.Go(func() error {
			if _, err := b.Engine.Run(ctx, "network", "disconnect", network, n.Name); err != nil {
				return err
			}
			_, err := b.Engine.Run(ctx, "network", "connect", "--ip", n.Address, "--alias", alias, network, n.Name)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("publish the name %s: %w", alias, err)
	}
	return nil
}
