package kind

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"faultline/clusters"
)

// allowWorkloads takes the control-plane taint off the masters that the
// topology lets run ordinary pods.
func (b *boot) allowWorkloads(ctx context.Context) error {
	client, err := b.cluster.Client(b.cluster.Front())
	if err != nil {
		return err
	}
	for _, n := range b.cluster.With(clusters.ControlPlane) {
		if n.Reserved {
			continue
		}
		patch := []byte(`{"spec":{"taints":null}}`)
		if _, err := client.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return fmt.Errorf("allow workloads on %s: %w", n.Name, err)
		}
	}
	return nil
}
