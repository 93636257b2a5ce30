package hosts

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
)

func webPod(uid string, restarts int32) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: "web", UID: types.UID(uid)},
		Status:     corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{RestartCount: restarts}}},
	}
}

func endpointOf(uid string, ready bool) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: "web-1"},
		Endpoints: []discoveryv1.Endpoint{{
			TargetRef:  &corev1.ObjectReference{UID: types.UID(uid)},
			Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		}},
	}
}

func TestServeOn(t *testing.T) {
	before := []corev1.Pod{*webPod("1", 2)}
	for name, c := range map[string]struct {
		now  []runtime.Object
		want bool
	}{
		"as before":          {[]runtime.Object{webPod("1", 2), endpointOf("1", true)}, true},
		"restarted":          {[]runtime.Object{webPod("1", 3), endpointOf("1", true)}, false},
		"another":            {[]runtime.Object{webPod("2", 2), endpointOf("2", true)}, false},
		"gone":               {[]runtime.Object{endpointOf("1", true)}, false},
		"not ready":          {[]runtime.Object{webPod("1", 2), endpointOf("1", false)}, false},
		"no endpoint":        {[]runtime.Object{webPod("1", 2)}, false},
		"another's endpoint": {[]runtime.Object{webPod("1", 2), endpointOf("2", true)}, false},
	} {
		if err := serveOn(before)(t.Context(), fake.NewClientset(c.now...)); (err == nil) != c.want {
			t.Errorf("%s: %v, want success %t", name, err, c.want)
		}
	}
}
