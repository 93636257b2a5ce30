package drill

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func asking(cpus string, phase corev1.PodPhase) corev1.Pod {
	c := corev1.Container{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpus)}}}
	return corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{c, {}}}, Status: corev1.PodStatus{Phase: phase}}
}

func TestWhatANodeHasLeft(t *testing.T) {
	two := resource.MustParse("2")
	left, err := leftBy([]corev1.Pod{asking("250m", corev1.PodRunning), asking("1", corev1.PodSucceeded), asking("1", corev1.PodFailed), asking("0.5", corev1.PodPending)}, two)
	if err != nil || left.Cmp(resource.MustParse("1250m")) != 0 {
		t.Errorf("%s, %v", left.String(), err)
	}
	if left, err := leftBy([]corev1.Pod{asking("2", corev1.PodRunning)}, two); err == nil {
		t.Errorf("nothing is left, and it is %s", left.String())
	}
	if two.Cmp(resource.MustParse("2")) != 0 {
		t.Error("what was allocatable is changed")
	}
}

func TestFreeIsWhatNobodyAsksFor(t *testing.T) {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1"},
		Status:     corev1.NodeStatus{Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")}},
	}
	greedy, modest := asking("150m", corev1.PodRunning), corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{}}}}
	greedy.ObjectMeta, modest.ObjectMeta = metav1.ObjectMeta{Namespace: "a", Name: "a"}, metav1.ObjectMeta{Namespace: "b", Name: "b"}
	if free, err := FreeCPU(t.Context(), fake.NewClientset(node, &greedy, &modest), "n1"); err != nil || free.MilliValue() != 1850 {
		t.Errorf("got %s, %v", free.String(), err)
	}
	if _, err := FreeCPU(t.Context(), fake.NewClientset(), "n1"); err == nil {
		t.Error("a node that is not there has something left")
	}
}
