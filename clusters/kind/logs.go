package kind

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"faultline/clusters"
)

// saveLogs writes what explains a cluster that did not come up: kind's own collection
// for its nodes, journal and units for the servers.
func (b *boot) saveLogs(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	errs := []error{}
	if nodes, err := b.provider.ListNodes(b.name); err == nil && len(nodes) > 0 {
		errs = append(errs, b.provider.CollectLogs(b.name, dir))
	}
	for _, n := range b.cluster.Nodes {
		if !n.Role.Kubernetes() {
			errs = append(errs, b.saveServerLog(ctx, n, dir))
		}
	}
	return errors.Join(errs...)
}

func (b *boot) saveServerLog(ctx context.Context, n *clusters.Node, dir string) error {
	out, err := b.Engine.Exec(ctx, n.Name, "sh", "-c", "systemctl --no-pager --failed; journalctl --no-pager -n 500")
	if err != nil {
		out, err = b.Engine.Run(ctx, "logs", n.Name)
	}
	if err != nil {
		return fmt.Errorf("log of %s: %w", n.Name, err)
	}
	return os.WriteFile(filepath.Join(dir, n.Name+".log"), out, 0o600)
}
