package kind

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"faultline/clusters"
	"faultline/clusters/engine"
	"faultline/clusters/engine/workspace"
)

// networkVariables make kind use another network than its own, by engine. For
// other engines kind has no such variable, and its own network is used.
var networkVariables = map[string]string{
	"docker": "KIND_EXPERIMENTAL_DOCKER_NETWORK",
	"podman": "KIND_EXPERIMENTAL_PODMAN_NETWORK",
}

// networkName is the network of a run.
func networkName(run string) string { return prefix + run }

// ensureNetwork makes the run's own network, so that no other cluster of the
// machine shares it and its removal is complete.
func ensureNetwork(ctx context.Context, e *engine.Engine, run string) error {
	variable, ok := networkVariables[e.Name()]
	if !ok {
		return nil
	}
	name := networkName(run)
	if err := os.Setenv(variable, name); err != nil {
		return err
	}
	// Names of networks are not unique, and of two processes of a run both would make it.
	release, err := workspace.Lock(ctx, "network")
	if err != nil {
		return err
	}
	defer release()
	out, err := e.Run(ctx, "network", "ls", "--format", "{{.Name}}")
	if err != nil {
		return fmt.Errorf("list networks: %w", err)
	}
	if slices.Contains(strings.Fields(string(out)), name) {
		return nil
	}
	if err := createNetwork(ctx, e, name, run); err != nil {
		return fmt.Errorf("create the run's network: %w", err)
	}
	return nil
}

// createNetwork lets the engine choose a free subnet and then names that subnet:
// only on a network with a subnet of ours can a node that was off be given its
// old address again. The engine gives away the lower half only; the upper half
// is for addresses that move.
func createNetwork(ctx context.Context, e *engine.Engine, name, run string) error {
	label := clusters.RunLabel + "=" + run
	if _, err := e.Run(ctx, "network", "create", "--label", label, name); err != nil {
		return err
	}
	subnet, err := subnetOf(ctx, e, name)
	if err != nil {
		return err
	}
	if _, err := e.Run(ctx, "network", "rm", name); err != nil {
		return err
	}
	_, err = e.Run(ctx, "network", "create", "--label", label, "--subnet", subnet.String(), "--ip-range", lowerHalf(subnet).String(), name)
	return err
}

// subnetOf is the IPv4 subnet of a network.
func subnetOf(ctx context.Context, e *engine.Engine, network string) (netip.Prefix, error) {
	out, err := e.Run(ctx, "network", "inspect", "--format", "{{range .IPAM.Config}}{{.Subnet}} {{end}}", network)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("subnet of network %s: %w", network, err)
	}
	for _, text := range strings.Fields(string(out)) {
		if subnet, err := netip.ParsePrefix(text); err == nil && subnet.Addr().Is4() {
			return subnet.Masked(), nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("network %s has no IPv4 subnet", network)
}

func lowerHalf(subnet netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(subnet.Addr(), subnet.Bits()+1)
}

func upperHalf(subnet netip.Prefix) netip.Prefix {
	bytes := subnet.Addr().As4()
	bytes[subnet.Bits()/8] |= 0x80 >> (subnet.Bits() % 8)
	return netip.PrefixFrom(netip.AddrFrom4(bytes), subnet.Bits()+1)
}
