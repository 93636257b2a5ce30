package overload

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"faultline/clusters"
)

func TestAShortNode(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	node.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeMemoryPressure, Effect: corev1.TaintEffectNoSchedule}}
	node.Status.Conditions = []corev1.NodeCondition{
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse},
		{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(began)},
	}
	other := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "o"}}
	client := fake.NewClientset(node, other)
	n, o := &clusters.Node{Name: "n"}, &clusters.Node{Name: "o"}
	var since time.Time
	if err := underPressure(n, corev1.ConditionTrue, &since)(t.Context(), client); err != nil || !since.Equal(began) {
		t.Errorf("since %s, %v", since, err)
	}
	if underPressure(n, corev1.ConditionFalse, nil)(t.Context(), client) == nil || underPressure(o, corev1.ConditionFalse, nil)(t.Context(), client) == nil {
		t.Error("a node is not short that says it is, or says nothing")
	}
	if err := tainted(n)(t.Context(), client); err != nil {
		t.Error(err)
	}
	if tainted(o)(t.Context(), client) == nil {
		t.Error("a node without taints has one")
	}
}

func TestOnlyEvicted(t *testing.T) {
	out, other := on("out", "n", corev1.PodFailed, ""), on("other", "n", corev1.PodRunning, "")
	out.Status.Reason = evicted
	client := fake.NewClientset(out, other)
	for _, test := range []struct {
		names []string
		want  bool
	}{{[]string{"out"}, true}, {[]string{"other"}, false}, {nil, false}, {[]string{"out", "other"}, false}} {
		if err := onlyEvicted(&clusters.Node{Name: "n"}, test.names...)(t.Context(), client); (err == nil) != test.want {
			t.Errorf("%v: %v", test.names, err)
		}
	}
}
