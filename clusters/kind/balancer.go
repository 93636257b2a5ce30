package kind

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/sync/errgroup"

	"faultline/clusters"
)

// haproxyConfig forwards connections to the API servers that are ready, as kubeadm's
// guide to highly available clusters does. maxconn fits into a hard limit of
// 20,000 open files, two for each connection.
const haproxyConfig = `global
  log stdout format raw local0
  maxconn 4000
defaults
  mode tcp
  log global
  option tcplog
  option dontlognull
  timeout connect 1s
  timeout client 1h
  timeout server 1h
  timeout check 3s
frontend apiservers
  bind :6443
  default_backend apiservers
backend apiservers
  option httpchk GET /readyz
  http-check expect status 200
  balance roundrobin
  default-server check check-ssl verify none inter 2s fall 2 rise 1 on-marked-down shutdown-sessions
`

// keepalivedConfig shares an address by VRRP: who is master holds it. A balancer whose
// HAProxy is gone gives it up; another takes it after three missed advertisements,
// one second apart. Advertisements go to the peers themselves, because not every
// network of containers forwards multicast.
const keepalivedConfig = `global_defs {
  enable_script_security
  script_user root
}
vrrp_script haproxy {
  script "/usr/bin/pgrep -x haproxy"
  interval 1
  fall 1
  rise 1
}
vrrp_instance api {
  state BACKUP
  interface eth0
  virtual_router_id %d
  priority %d
  advert_int 1
  nopreempt
  unicast_src_ip %s
  unicast_peer {
%s  }
  virtual_ipaddress {
    %s
  }
  track_script {
    haproxy
  }
}
`

// configureBalancers starts HAProxy and keepalived on every balancer. The API servers
// may come later.
func (b *boot) configureBalancers(ctx context.Context) error {
	balancers := b.cluster.With(clusters.Balancer)
	var group errgroup.Group
	for i, n := range balancers {
		config := fmt.Sprintf(keepalivedConfig, 1+b.Sequence%255, 100-i, n.Address, peerLines(balancers, n), b.shared)
		group.Go(func() error {
			err := writeFiles(ctx, n,
				file{path: "/etc/haproxy/haproxy.cfg", content: []byte(haproxyConfig), public: true},
				file{path: "/etc/keepalived/keepalived.conf", content: []byte(config), public: true},
			)
			if err != nil {
				return err
			}
			return startServices(ctx, n, "haproxy.service", "keepalived.service")
		})
	}
	return group.Wait()
}

func peerLines(all []*clusters.Node, self *clusters.Node) string {
	var lines strings.Builder
	for _, n := range all {
		if n != self {
			fmt.Fprintf(&lines, "    %s\n", n.Address)
		}
	}
	return lines.String()
}

// balance tells the balancers the addresses of the API servers.
func (b *boot) balance(ctx context.Context) error {
	config := haproxyConfig
	for _, e := range b.cluster.APIServers() {
		config += fmt.Sprintf("  server %s %s\n", e.Name, e.Address)
	}
	var group errgroup.Group
	for _, n := range b.cluster.With(clusters.Balancer) {
		group.Go(func() error {
			if err := writeFiles(ctx, n, file{path: "/etc/haproxy/haproxy.cfg", content: []byte(config), public: true}); err != nil {
				return err
			}
			if _, err := n.Exec(ctx, "systemctl", "reload", "haproxy.service"); err != nil {
				return fmt.Errorf("reload HAProxy on %s: %w", n.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// reserveAddress picks the address that the balancers of a cluster share: in the upper
// half of the network, out of which the engine gives nothing away.
func (b *boot) reserveAddress(ctx context.Context) (netip.Addr, error) {
	subnet, err := subnetOf(ctx, b.Engine, networkName(b.Run))
	if err != nil {
		return netip.Addr{}, err
	}
	return movingAddress(subnet, b.Sequence), nil
}

// movingAddress is that of the run's cluster with a number. Clusters of one run share a network,
// and those of different processes are up at the same time.
func movingAddress(subnet netip.Prefix, sequence int) netip.Addr {
	upper := upperHalf(subnet)
	hosts := 1<<(32-upper.Bits()) - 2
	return nth(upper.Addr(), 1+sequence%hosts)
}

// nth is the address n after another.
func nth(a netip.Addr, n int) netip.Addr {
	for range n {
		a = a.Next()
	}
	return a
}

// sharedEndpoint is the endpoint of the balancers.
func (b *boot) sharedEndpoint() *clusters.Endpoint {
	return &clusters.Endpoint{Name: clusters.LoadBalancerVantage, Address: net.JoinHostPort(b.shared.String(), "6443")}
}
