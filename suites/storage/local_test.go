package storage

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"faultline/clusters"
)

func TestAMemberWaitsForItsVolume(t *testing.T) {
	member := func(uid types.UID, node, message string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: clusters.LocalVolumes.Namespace(), Name: "database-0", UID: uid},
			Spec:       corev1.PodSpec{NodeName: node},
			Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: message}}},
		}
	}
	const why = "0/4 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity, 2 node(s) had untolerated taint(s)."
	was := *member("before", "n1", "")
	for name, c := range map[string]struct {
		now  *corev1.Pod
		want bool
	}{
		"its replacement waits":              {member("after", "", why), true},
		"it is the one of before":            {member("before", "", why), false},
		"it has a node":                      {member("after", "n2", why), false},
		"nobody has looked for a node":       {member("after", "", ""), false},
		"it waits for another reason":        {member("after", "", "0/4 nodes are available: 4 Insufficient cpu."), false},
		"it is repelled by its node's label": {member("after", "", "2 node(s) didn't match Pod's node affinity/selector"), false},
	} {
		if err := waitsForItsVolume(was)(t.Context(), fake.NewClientset(c.now)); (err == nil) != c.want {
			t.Errorf("%s: %v, want success %t", name, err, c.want)
		}
	}
	if waitsForItsVolume(was)(t.Context(), fake.NewClientset()) == nil {
		t.Error("a member that nobody replaces waits")
	}
}
