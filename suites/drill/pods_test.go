package drill

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestSamePods(t *testing.T) {
	pod := func(name, uid string, restarts int32) corev1.Pod {
		return corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(uid)},
			Status:     corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{RestartCount: restarts}}},
		}
	}
	before := []corev1.Pod{pod("a", "1", 0), pod("b", "2", 0)}
	if err := SamePods(before, []corev1.Pod{pod("b", "2", 0), pod("a", "1", 0)}); err != nil {
		t.Errorf("in another order: %v", err)
	}
	for name, now := range map[string][]corev1.Pod{
		"one is gone":    {pod("a", "1", 0)},
		"one restarted":  {pod("a", "1", 0), pod("b", "2", 1)},
		"one is another": {pod("a", "1", 0), pod("b", "3", 0)},
		"one is new":     {pod("a", "1", 0), pod("b", "2", 0), pod("c", "3", 0)},
	} {
		if SamePods(before, now) == nil {
			t.Errorf("%s, and they are called the same", name)
		}
	}
	if SamePods(nil, nil) == nil || SamePodsRestarted(nil, nil) == nil {
		t.Error("none is called the same as none")
	}
	if err := SamePodsRestarted(before, []corev1.Pod{pod("b", "2", 1), pod("a", "1", 2)}); err != nil {
		t.Errorf("restarted: %v", err)
	}
	for name, now := range map[string][]corev1.Pod{
		"one is gone":          {pod("a", "1", 1)},
		"one is not restarted": {pod("a", "1", 1), pod("b", "2", 0)},
		"one is another":       {pod("a", "1", 1), pod("b", "3", 1)},
	} {
		if SamePodsRestarted(before, now) == nil {
			t.Errorf("%s, and they are called the same, restarted", name)
		}
	}
}
