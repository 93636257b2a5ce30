package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
)

// conflist is the CNI configuration of a node: a veth pair a pod, addresses
// out of the node's range, and host ports. The leases are under /run, where a
// reboot forgets them together with the pods that held them.
func conflist(pods netip.Prefix, mtu int) ([]byte, error) {
	type object = map[string]any
	return json.MarshalIndent(object{
		"cniVersion": "1.0.0",
		"name":       "faultline",
		"plugins": []object{
			{
				"type": "ptp",
				"mtu":  mtu,
				"ipam": object{
					"type":    "host-local",
					"dataDir": "/run/cni-ipam-state",
					"routes":  []object{{"dst": "0.0.0.0/0"}},
					"ranges":  [][]object{{{"subnet": pods.Masked().String()}}},
				},
			},
			{"type": "portmap", "capabilities": object{"portMappings": true}},
		},
	}, "", "  ")
}

// writeConflist replaces the configuration in one step, if it changed.
func writeConflist(path string, self peer) error {
	content, err := conflist(self.cidr, mtuOf(self.via))
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return nil
	}
	fresh := filepath.Join(filepath.Dir(path), ".faultline.tmp")
	if err := os.WriteFile(fresh, content, 0o644); err != nil {
		return fmt.Errorf("write the CNI configuration: %w", err)
	}
	return os.Rename(fresh, path)
}

// mtuOf is the MTU of the interface that has the address, or Ethernet's.
func mtuOf(address netip.Addr) int {
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		addresses, _ := i.Addrs()
		for _, a := range addresses {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr() == address {
				return i.MTU
			}
		}
	}
	return 1500
}
