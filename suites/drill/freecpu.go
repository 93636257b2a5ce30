package drill

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// FreeCPU is what a node can still promise of its CPU time. Nothing is an error.
func FreeCPU(ctx context.Context, c kubernetes.Interface, node string) (free resource.Quantity, err error) {
	n, err := c.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
	if err != nil {
		return free, err
	}
	pods, err := c.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
	if err != nil {
		return free, err
	}
	return leftBy(pods.Items, n.Status.Allocatable[corev1.ResourceCPU])
}

// leftBy is what pods leave of it, but for those that have ended.
func leftBy(pods []corev1.Pod, allocatable resource.Quantity) (resource.Quantity, error) {
	left := allocatable.DeepCopy()
	for _, p := range pods {
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		for _, c := range p.Spec.Containers {
			left.Sub(c.Resources.Requests[corev1.ResourceCPU])
		}
	}
	return left, Unless(left.Sign() > 0, fmt.Errorf("of %s CPUs %s are left", allocatable.String(), left.String()))
}
