package policy

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestFreeIsWhatNobodyAsksFor(t *testing.T) {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1"},
		Status:     corev1.NodeStatus{Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")}},
	}
	greedy, modest := podIn(divided, "a", "n1"), podIn(neighbour, "b", "n1")
	greedy.Spec.Containers = idlePod(asking("150m")).Spec.Containers
	modest.Spec.Containers = idlePod().Spec.Containers
	if free, err := freeOn(t.Context(), fake.NewClientset(node, greedy, modest), "n1"); err != nil || free != 1850 {
		t.Errorf("got %d, %v", free, err)
	}
	if _, err := freeOn(t.Context(), fake.NewClientset(), "n1"); err == nil {
		t.Error("a node that is not there has something left")
	}
}
