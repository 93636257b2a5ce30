package airgap

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"faultline/clusters"
	"faultline/suites/drill"
)

func TestWhatLeavesIsNoticed(t *testing.T) {
	before := egress{"n1": {Attempts: 1, Names: 5, Others: 2}, "n2": {}}
	for name, c := range map[string]struct {
		now  egress
		want bool
	}{
		"nothing":              {before, true},
		"questions to DNS":     {egress{"n1": {Attempts: 1, Names: 9, Others: 2}, "n2": {}}, true},
		"an attempt of a test": {egress{"n1": {Attempts: 2, Names: 5, Others: 2}, "n2": {}}, true},
		"something else":       {egress{"n1": {Attempts: 1, Names: 5, Others: 2}, "n2": {Others: 1}}, false},
		"no node":              {nil, false},
	} {
		if err := c.now.since(before).none(); (err == nil) != c.want {
			t.Errorf("%s: %v, want success %t", name, err, c.want)
		}
	}
	if sent := (egress{"n1": {Attempts: 3, Names: 6, Others: 2}}).since(before)["n1"]; sent != (clusters.Egress{Attempts: 2, Names: 1}) {
		t.Errorf("got %+v", sent)
	}
}

func TestStatesOfContainers(t *testing.T) {
	waiting := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
	}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	waits, again, idle := waitsForImage(drill.Namespace, metav1.ListOptions{}), restarted("a"), notStarted("a")
	for name, c := range map[string]struct {
		status []corev1.ContainerStatus
		holds  []drill.Request
		fails  []drill.Request
	}{
		"between two tries":   {[]corev1.ContainerStatus{{State: waiting("ImagePullBackOff")}}, []drill.Request{waits, idle}, []drill.Request{again}},
		"a failed try":        {[]corev1.ContainerStatus{{State: waiting("ErrImagePull")}}, []drill.Request{idle}, []drill.Request{waits, again}},
		"it never pulls":      {[]corev1.ContainerStatus{{State: waiting("ErrImageNeverPull")}}, []drill.Request{idle}, []drill.Request{waits, again}},
		"it runs":             {[]corev1.ContainerStatus{{State: running}}, nil, []drill.Request{waits, idle, again}},
		"it runs again":       {[]corev1.ContainerStatus{{State: running, RestartCount: 1, ContainerID: "c"}}, []drill.Request{again}, []drill.Request{waits, idle}},
		"it has ended":        {[]corev1.ContainerStatus{{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}, RestartCount: 1}}, nil, []drill.Request{waits, idle, again}},
		"a crash loop":        {[]corev1.ContainerStatus{{State: waiting("CrashLoopBackOff"), ContainerID: "c", RestartCount: 1}}, nil, []drill.Request{waits, idle, again}},
		"nothing is told yet": {nil, nil, []drill.Request{waits, idle, again}},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: drill.Namespace, Name: "a"}, Status: corev1.PodStatus{ContainerStatuses: c.status}}
		client := fake.NewClientset(pod)
		for n, request := range append(c.holds, c.fails...) {
			if err := request(t.Context(), client); (err == nil) != (n < len(c.holds)) {
				t.Errorf("%s: condition %d: %v", name, n, err)
			}
		}
	}
}
