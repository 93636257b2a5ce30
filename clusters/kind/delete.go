package kind

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/kind/pkg/cluster"

	"faultline/clusters"
	"faultline/clusters/engine"
)

// kindLabel is kind's label with the cluster's name, on every container of it.
const kindLabel = "io.x-k8s.kind.cluster"

// Delete removes a cluster's containers with their volumes, and its private files.
func Delete(ctx context.Context, e *engine.Engine, name, dir string) error {
	if !strings.HasPrefix(name, prefix) {
		return fmt.Errorf("cluster %s is not Faultline's and is left alone", name)
	}
	for _, label := range []string{kindLabel, clusterLabel} {
		if err := removeContainers(ctx, e, label+"="+name); err != nil {
			return fmt.Errorf("delete cluster %s: %w", name, err)
		}
	}
	return os.RemoveAll(filepath.Join(dir, name))
}

// DeleteNetwork removes the network of a run, which must have no cluster any more.
func DeleteNetwork(ctx context.Context, e *engine.Engine, run string) error {
	return removeNetworks(ctx, e, clusters.RunLabel+"="+run)
}

// DeleteRun removes every cluster and the network of a run, and says what it removed.
func DeleteRun(ctx context.Context, e *engine.Engine, run string, say func(format string, args ...any)) error {
	return deleteAll(ctx, e, func(name string) bool { return ofRun(name, run) }, clusters.RunLabel+"="+run, say)
}

// ofRun tells whether a cluster's name is that of a run, see ClusterName.
func ofRun(name, run string) bool {
	number, ok := strings.CutPrefix(name, prefix+run+"-")
	_, err := strconv.Atoi(number)
	return ok && err == nil
}

// Clean removes every cluster and network of every run of Faultline from the
// machine, and says what it removed. It needs no state: names and labels tell.
func Clean(ctx context.Context, e *engine.Engine, say func(format string, args ...any)) error {
	return deleteAll(ctx, e, func(name string) bool { return strings.HasPrefix(name, prefix) }, clusters.RunLabel, say)
}

// deleteAll removes the clusters whose names are ours, and what else has the label.
func deleteAll(ctx context.Context, e *engine.Engine, ours func(name string) bool, label string, say func(format string, args ...any)) error {
	names, err := cluster.NewProvider(e.ProviderOption()).List()
	if err != nil {
		return fmt.Errorf("list kind clusters: %w", err)
	}
	var errs []error
	for _, name := range names {
		if ours(name) {
			say("deleting cluster %s", name)
			errs = append(errs, removeContainers(ctx, e, kindLabel+"="+name))
		}
	}
	errs = append(errs, removeContainers(ctx, e, label), removeNetworks(ctx, e, label))
	return errors.Join(errs...)
}

// removeContainer removes one container of the cluster by its full name.
func (b *boot) removeContainer(ctx context.Context, name string) error {
	if _, err := b.Engine.Run(ctx, "rm", "-f", "-v", name); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// ClusterExists tells whether there is any container of a cluster of that name.
func ClusterExists(ctx context.Context, e *engine.Engine, name string) (bool, error) {
	for _, label := range []string{kindLabel, clusterLabel} {
		ids, err := list(ctx, e, "ps", "-aq", "--filter", "label="+label+"="+name)
		if err != nil || len(ids) > 0 {
			return err == nil, err
		}
	}
	return false, nil
}

// Exists tells whether there is a container of a cluster of that very name.
func Exists(ctx context.Context, e *engine.Engine, node string) (bool, error) {
	for _, label := range []string{kindLabel, clusterLabel} {
		names, err := list(ctx, e, "ps", "-a", "--format", "{{.Names}}", "--filter", "label="+label)
		if err != nil || slices.Contains(names, node) {
			return err == nil, err
		}
	}
	return false, nil
}

func removeContainers(ctx context.Context, e *engine.Engine, label string) error {
	ids, err := list(ctx, e, "ps", "-aq", "--no-trunc", "--filter", "label="+label)
	if err != nil || len(ids) == 0 {
		return err
	}
	resumeDisks(ctx, e, label)
	// A container that another removal was faster with is no error.
	_, err = e.Run(ctx, append([]string{"rm", "-f", "-v"}, ids...)...)
	if left, listErr := list(ctx, e, "ps", "-aq", "--no-trunc", "--filter", "label="+label); listErr == nil && len(left) == 0 {
		return nil
	}
	return err
}

// resumeDisks lets disks go on that a fault has stalled: the kernel kills no process that waits for
// one, and the engine could not remove its container. What has no disk, does not run or
// is not stalled is no error.
func resumeDisks(ctx context.Context, e *engine.Engine, label string) {
	ids, _ := list(ctx, e, "ps", "-q", "--no-trunc", "--filter", "label="+label, "--filter", "volume="+disksOnNode)
	for _, id := range ids {
		_, _ = e.Exec(ctx, id, clusters.DiskTool, "resume")
	}
}

func removeNetworks(ctx context.Context, e *engine.Engine, label string) error {
	ids, err := list(ctx, e, "network", "ls", "-q", "--no-trunc", "--filter", "label="+label)
	if err != nil || len(ids) == 0 {
		return err
	}
	_, err = e.Run(ctx, append([]string{"network", "rm"}, ids...)...)
	return err
}

func list(ctx context.Context, e *engine.Engine, args ...string) ([]string, error) {
	out, err := e.Run(ctx, args...)
	if err != nil {
		return nil, err
	}
	ids := strings.Fields(string(out))
	slices.Sort(ids)
	return slices.Compact(ids), nil
}
