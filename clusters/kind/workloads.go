package kind

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"faultline/clusters"
)

// allowWorkloads takes the control-plane taint off the members that the
// topology lets run ordinary pods. kind itself does so only where the
// control plane is alone.
func allowWorkloads(ctx context.Context, c *clusters.Cluster) error {
	client, err := c.Client(c.Front())
	if err != nil {
		return err
	}
	numbers := map[clusters.Role]int{}
	for _, m := range placed(c.Topology) {
		numbers[m.Role]++
		if m.Role != clusters.ControlPlane || !m.Workloads {
			continue
		}
		node := nodeName(c.Name, m.Role, numbers[m.Role])
		patch := []byte(`{"spec":{"taints":null}}`)
		if _, err := client.CoreV1().Nodes().Patch(ctx, node, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return fmt.Errorf("allow workloads on %s: %w", node, err)
		}
	}
	return nil
}
