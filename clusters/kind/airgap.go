package kind

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"faultline/clusters"
)

// serviceSubnet is kind's.
const serviceSubnet = "10.96.0.0/16"

const egressProgram = "/usr/local/bin/faultline-egress"

// egressUnit closes the network at every boot, before anything runs that could leave it.
const egressUnit = `[Unit]
Description=Refuse and count packets that leave the cluster's network
Before=containerd.service kubelet.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=` + egressProgram + `
[Install]
WantedBy=multi-user.target
`

// egressScript lets packets to the engine's network, to pods and services, and within the
// link pass, and refuses all others at once. The engine's resolver is on the loopback, but
// its packets still seem to go out by eth0, because they are redirected after routing. It
// asks servers outside from the node's network, so that such questions count here too.
// Naming the chain empties it, and begins to count anew.
var egressScript = strings.NewReplacer(
	"CHAIN", clusters.EgressChain, "PODS", podSubnet, "SERVICES", serviceSubnet, "OUTSIDE", clusters.Outside,
	"ATTEMPTS", clusters.EgressAttempts, "NAMES", clusters.EgressNames, "OTHERS", clusters.EgressOthers,
).Replace(`#!/bin/sh
set -e
network=$(ip -4 route show dev eth0 proto kernel scope link | cut -d' ' -f1)
iptables-restore --noflush --wait <<END
*filter
:CHAIN - [0:0]
-A CHAIN -o lo -j RETURN
-A CHAIN -d 127.0.0.0/8 -j RETURN
-A CHAIN -d $network -j RETURN
-A CHAIN -d PODS -j RETURN
-A CHAIN -d SERVICES -j RETURN
-A CHAIN -d 224.0.0.0/24 -j RETURN
-A CHAIN -d OUTSIDE -m comment --comment ATTEMPTS -j REJECT
-A CHAIN -p udp --dport 53 -m comment --comment NAMES -j REJECT
-A CHAIN -p tcp --dport 53 -m comment --comment NAMES -j REJECT
-A CHAIN -m comment --comment OTHERS -j REJECT
COMMIT
END
for hook in OUTPUT FORWARD; do
  iptables --wait --check $hook --jump CHAIN 2> /dev/null || iptables --wait --insert $hook --jump CHAIN
done
`)

// airGap keeps the nodes of Kubernetes from leaving the cluster's network, from now on
// and after every boot (A:L97). It has to come before kubeadm, so that the counters
// cover all that Kubernetes does. There is no way out by IPv6: the network has none.
func airGap(ctx context.Context, c *clusters.Cluster) error {
	if !c.Topology.AirGapped {
		return nil
	}
	var group errgroup.Group
	for _, n := range c.Nodes {
		if n.Role.Kubernetes() {
			group.Go(func() error { return closeNetwork(ctx, n) })
		}
	}
	return group.Wait()
}

func closeNetwork(ctx context.Context, n *clusters.Node) error {
	if err := install(ctx, n, egressProgram, strings.NewReader(egressScript)); err != nil {
		return err
	}
	if err := writeFiles(ctx, n, file{path: "/etc/systemd/system/faultline-egress.service", content: []byte(egressUnit), public: true}); err != nil {
		return err
	}
	if err := startServices(ctx, n, "faultline-egress.service"); err != nil {
		return fmt.Errorf("close the network of %s: %w", n.Name, err)
	}
	return nil
}
