package kind

import (
	"context"
	"fmt"
	"strconv"

	"golang.org/x/sync/errgroup"

	"faultline/clusters"
)

// limitResources gives nodes the cores and the memory of their hosts. The engine knows
// no groups of containers, so each member gets an even share of the memory.
func (b *boot) limitResources(ctx context.Context, nodes []*clusters.Node) error {
	var group errgroup.Group
	for _, n := range nodes {
		group.Go(func() error {
			if err := b.limit(ctx, n); err != nil {
				return fmt.Errorf("give %s the resources of host %s: %w", n.Name, n.Host, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func (b *boot) limit(ctx context.Context, n *clusters.Node) error {
	h, err := b.Topology.Host(n.Host)
	if err != nil {
		return err
	}
	if h.CPUs != "" {
		if err := n.MoveToCores(ctx, h.CPUs); err != nil {
			return err
		}
	}
	if h.MemoryBytes == 0 {
		return nil
	}
	share := strconv.FormatUint(h.MemoryBytes/uint64(len(h.Members)), 10)
	_, err = b.Engine.Run(ctx, "update", "--memory", share, "--memory-swap", share, n.Name)
	return err
}
