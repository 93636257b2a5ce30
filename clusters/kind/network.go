package kind

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"faultline/clusters/engine"
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
// old address again.
func createNetwork(ctx context.Context, e *engine.Engine, name, run string) error {
	label := runLabel + "=" + run
	if _, err := e.Run(ctx, "network", "create", "--label", label, name); err != nil {
		return err
	}
	out, err := e.Run(ctx, "network", "inspect", "--format", "{{range .IPAM.Config}}{{.Subnet}} {{end}}", name)
	if err != nil {
		return err
	}
	subnets := strings.Fields(string(out))
	if len(subnets) == 0 {
		return fmt.Errorf("network %s has no subnet", name)
	}
	if _, err := e.Run(ctx, "network", "rm", name); err != nil {
		return err
	}
	_, err = e.Run(ctx, "network", "create", "--label", label, "--subnet", subnets[0], name)
	return err
}
