package drill

import (
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"faultline/clusters"
)

func TestAllNodesConnectedWantsALeaseRenewedSince(t *testing.T) {
	lost := time.Now()
	for name, test := range map[string]struct {
		objects []runtime.Object
		want    bool
	}{
		"a node that renewed its lease since":     {[]runtime.Object{node(corev1.ConditionTrue), lease(lost.Add(time.Second))}, true},
		"a node that is ready by saved state":     {[]runtime.Object{node(corev1.ConditionTrue), lease(lost.Add(-time.Second))}, false},
		"a node without a lease":                  {[]runtime.Object{node(corev1.ConditionTrue)}, false},
		"a node that renews its lease, not ready": {[]runtime.Object{node(corev1.ConditionFalse), lease(lost.Add(time.Second))}, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := AllNodesConnected(lost)(t.Context(), fake.NewClientset(test.objects...))
			if (err == nil) != test.want {
				t.Errorf("connected: %v (%v), want %v", err == nil, err, test.want)
			}
		})
	}
}

func TestNodesJoinAndAreAbsent(t *testing.T) {
	for name, test := range map[string]struct {
		objects        []runtime.Object
		joined, absent bool
	}{
		"a node that is ready":     {[]runtime.Object{node(corev1.ConditionTrue)}, true, false},
		"a node that is not ready": {[]runtime.Object{node(corev1.ConditionFalse)}, false, false},
		"no node":                  {nil, false, true},
	} {
		client := fake.NewClientset(test.objects...)
		if err := NodeJoined("worker")(t.Context(), client); (err == nil) != test.joined {
			t.Errorf("%s: joined: %v, want success %t", name, err, test.joined)
		}
		if err := NodeAbsent("worker")(t.Context(), client); (err == nil) != test.absent {
			t.Errorf("%s: absent: %v, want success %t", name, err, test.absent)
		}
	}
}

func node(ready corev1.ConditionStatus) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "worker"},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}},
	}
}

func lease(renewed time.Time) *coordinationv1.Lease {
	at := metav1.NewMicroTime(renewed)
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: "worker", Namespace: corev1.NamespaceNodeLease},
		Spec:       coordinationv1.LeaseSpec{RenewTime: &at},
	}
}

func TestWhoIsExpectedNotToBeReady(t *testing.T) {
	a, b := &clusters.Node{Name: "a"}, &clusters.Node{Name: "b"}
	for name, c := range map[string]struct {
		ready map[string]bool
		want  bool
	}{
		"everybody is ready": {map[string]bool{"a": true, "b": true}, false},
		"the lost one":       {map[string]bool{"a": false, "b": true}, true},
		"both":               {map[string]bool{"a": false, "b": false}, false},
		"the other one":      {map[string]bool{"a": true, "b": false}, false},
	} {
		if err := MarkNotReady(a, a).among([]*clusters.Node{a, b}, c.ready); (err == nil) != c.want {
			t.Errorf("%s: %v, want success %t", name, err, c.want)
		}
	}
}
