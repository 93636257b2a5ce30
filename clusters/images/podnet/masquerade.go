package main

import (
	"context"
	"fmt"
	"net/netip"
)

const chain = "FAULTLINE-MASQ"

// masqueradeRules is input for iptables-restore. Naming the chain empties it,
// so the same input can be loaded again and again.
func masqueradeRules(node, pods netip.Prefix) string {
	return fmt.Sprintf(`*nat
:%[1]s - [0:0]
-A %[1]s ! -s %[2]s -j RETURN
-A %[1]s -d %[3]s -j RETURN
-A %[1]s -m addrtype ! --dst-type LOCAL -j MASQUERADE
COMMIT
`, chain, node.Masked(), pods.Masked())
}

// masquerade hides pods of this node behind the node's address when they
// talk to something outside the cluster, never when they talk to each other.
func masquerade(ctx context.Context, node, pods netip.Prefix) error {
	if _, err := input(ctx, masqueradeRules(node, pods), "iptables-restore", "--noflush", "--wait"); err != nil {
		return err
	}
	if _, err := command(ctx, "iptables", "--wait", "-t", "nat", "-C", "POSTROUTING", "-j", chain); err == nil {
		return nil
	}
	_, err := command(ctx, "iptables", "--wait", "-t", "nat", "-A", "POSTROUTING", "-j", chain)
	return err
}
