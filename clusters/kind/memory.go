package kind

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"faultline/clusters/engine"
)

// MemoryInUse is the memory of all containers of a cluster, in bytes, as the engine
// counts it: without what the kernel could drop from its page cache.
func MemoryInUse(ctx context.Context, e *engine.Engine, cluster string) (uint64, error) {
	var ids []string
	for _, label := range []string{kindLabel, clusterLabel} {
		found, err := list(ctx, e, "ps", "-q", "--filter", "label="+label+"="+cluster)
		if err != nil {
			return 0, err
		}
		ids = append(ids, found...)
	}
	out, err := e.Run(ctx, append([]string{"stats", "--no-stream", "--format", "{{.MemUsage}}"}, ids...)...)
	if err != nil {
		return 0, err
	}
	return sumMemory(string(out))
}

// sumMemory adds lines such as "612.4MiB / 23.5GiB".
func sumMemory(stats string) (uint64, error) {
	var sum uint64
	for line := range strings.Lines(stats) {
		used, _, _ := strings.Cut(line, "/")
		used = strings.TrimSuffix(strings.TrimSpace(used), "B")
		used = strings.Replace(used, "kB", "k", 1)
		q, err := resource.ParseQuantity(used)
		if err != nil {
			return 0, fmt.Errorf("memory in use %q: %w", line, err)
		}
		sum += uint64(q.Value())
	}
	return sum, nil
}
