package components

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"faultline/clusters"
)

func TestDNSOn(t *testing.T) {
	server := func(name, node string, ready corev1.ConditionStatus) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: name, Labels: map[string]string{"k8s-app": "kube-dns"}},
			Spec:       corev1.PodSpec{NodeName: node},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}},
		}
	}
	const ready, unready = corev1.ConditionTrue, corev1.ConditionFalse
	n1, n2 := &clusters.Node{Name: "n1"}, &clusters.Node{Name: "n2"}
	gathered, spread := []*clusters.Node{n1}, []*clusters.Node{n1, n2}
	for name, c := range map[string]struct {
		nodes   []*clusters.Node
		objects []runtime.Object
		want    bool
		left    int
	}{
		"gathered":                       {gathered, []runtime.Object{server("a", "n1", ready), server("b", "n1", ready)}, true, 2},
		"gathered, and one is not ready": {gathered, []runtime.Object{server("a", "n1", ready), server("b", "n1", unready)}, false, 2},
		"one too many":                   {gathered, []runtime.Object{server("a", "n1", ready), server("b", "n1", ready), server("c", "n2", ready)}, false, 3},
		"spread":                         {spread, []runtime.Object{server("a", "n1", ready), server("b", "n2", ready)}, true, 2},
		"to be spread, and gathered":     {spread, []runtime.Object{server("a", "n1", ready), server("b", "n1", ready)}, false, 1},
		"to be spread, one elsewhere":    {spread, []runtime.Object{server("a", "n1", ready), server("b", "n3", ready)}, false, 2},
	} {
		client := fake.NewClientset(c.objects...)
		if err := dnsOn(c.nodes)(t.Context(), client); (err == nil) != c.want {
			t.Errorf("%s: %v, want success %t", name, err, c.want)
		}
		if list, err := client.CoreV1().Pods(metav1.NamespaceSystem).List(t.Context(), dnsPods); err != nil || len(list.Items) != c.left {
			t.Errorf("%s: %v, %d pods are left, want %d", name, err, len(list.Items), c.left)
		}
	}
}
