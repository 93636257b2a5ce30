package hosts

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
)

func nodeSince(ready corev1.ConditionStatus, since time.Time) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1"},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, LastTransitionTime: metav1.NewTime(since)}}},
	}
}

func systemPod(uid string, restarts int32) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "p-" + uid, UID: types.UID(uid)},
		Status:     corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{RestartCount: restarts}}},
	}
}

func TestCalmLasts(t *testing.T) {
	begun := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ready := nodeSince(corev1.ConditionTrue, begun)
	before, err := lookForCalm(t.Context(), fake.NewClientset(ready, systemPod("1", 2)))
	if err != nil || len(before.ready) != 1 || len(before.restarts) != 1 {
		t.Fatalf("%+v, %v", before, err)
	}
	for name, c := range map[string]struct {
		now  []runtime.Object
		want bool
	}{
		"as before":               {[]runtime.Object{ready, systemPod("1", 2)}, true},
		"another pod came":        {[]runtime.Object{ready, systemPod("1", 2), systemPod("2", 0)}, true},
		"restarted":               {[]runtime.Object{ready, systemPod("1", 3)}, false},
		"replaced":                {[]runtime.Object{ready, systemPod("2", 2)}, false},
		"not ready":               {[]runtime.Object{nodeSince(corev1.ConditionFalse, begun), systemPod("1", 2)}, false},
		"silent":                  {[]runtime.Object{nodeSince(corev1.ConditionUnknown, begun), systemPod("1", 2)}, false},
		"was not ready meanwhile": {[]runtime.Object{nodeSince(corev1.ConditionTrue, begun.Add(time.Second)), systemPod("1", 2)}, false},
		"a node is gone":          {[]runtime.Object{systemPod("1", 2)}, false},
	} {
		if err := before.lasts(t.Context(), fake.NewClientset(c.now...)); (err == nil) != c.want {
			t.Errorf("%s: %v, want success %t", name, err, c.want)
		}
	}
}
