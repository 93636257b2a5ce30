package overload

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	. "faultline/suites/drill"
)

// on is a pod of the size large with a node, or one that the scheduler has refused.
func on(name, node string, phase corev1.PodPhase, refused string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name, Labels: map[string]string{sizeLabel: large}}}
	pod.Spec.NodeName, pod.Status.Phase = node, phase
	if refused != "" {
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: refused}}
	}
	return pod
}

func TestDivided(t *testing.T) {
	const full = "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s)."
	runs, waiting := on("a", "n", corev1.PodRunning, ""), on("b", "", corev1.PodPending, full)
	for name, test := range map[string]struct {
		other *corev1.Pod
		want  bool
	}{
		"another waits":                    {on("c", "", corev1.PodPending, full), true},
		"another runs":                     {on("c", "n", corev1.PodRunning, ""), false},
		"another is about to run":          {on("c", "n", corev1.PodPending, ""), false},
		"another waits for something else": {on("c", "", corev1.PodPending, "0/3 nodes are available: 1 Too many pods."), false},
		"nobody has looked at another":     {on("c", "", corev1.PodPending, ""), false},
		"another has failed":               {on("c", "n", corev1.PodFailed, ""), false},
	} {
		client := fake.NewClientset(runs, waiting, test.other)
		if err := divided(large, 1, 2, "Insufficient cpu")(t.Context(), client); (err == nil) != test.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if divided(large, 1, 0, "")(t.Context(), fake.NewClientset(runs, waiting)) == nil {
		t.Error("one waits, and none counts as waiting")
	}
}

func TestPlaced(t *testing.T) {
	there := fake.NewClientset(on("a", "n", corev1.PodRunning, ""), on("b", "n", corev1.PodPending, ""))
	for want, holds := range map[int]bool{1: false, 2: true, 3: false} {
		if err := placed(large, want)(t.Context(), there); (err == nil) != holds {
			t.Errorf("%d of 2: %v", want, err)
		}
	}
	if placed(large, 2)(t.Context(), fake.NewClientset(on("a", "n", corev1.PodRunning, ""), on("b", "", corev1.PodPending, ""))) == nil {
		t.Error("one waits")
	}
}

func TestWaitsEndsAndRuns(t *testing.T) {
	put := on("out", "n", corev1.PodFailed, "")
	put.Status.Reason = evicted
	again := on("again", "n", corev1.PodRunning, "")
	again.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: 1}}
	client := fake.NewClientset(put, again, on("a", "n", corev1.PodRunning, ""), on("w", "", corev1.PodPending, "2 node(s) had untolerated taint(s)"))
	for _, test := range []struct {
		what string
		is   Request
		want bool
	}{
		{"it is out", ended("out", evicted), true},
		{"it is out for another reason", ended("out", "OutOfcpu"), false},
		{"what runs is out", ended("a", evicted), false},
		{"it waits", waits("w", "2 node(s) had untolerated taint"), true},
		{"it waits for something else", waits("w", "Insufficient cpu"), false},
		{"what runs waits", waits("a", ""), false},
		{"it runs", running("a"), true},
		{"one of two runs", running("a", "w"), false},
		{"what was restarted runs", running("again"), false},
		{"all of two", All(running("a"), ended("out", evicted)), true},
		{"all but the last", All(running("a"), running("w")), false},
	} {
		if err := test.is(t.Context(), client); (err == nil) != test.want {
			t.Errorf("%s: %v", test.what, err)
		}
	}
}

func TestChoosing(t *testing.T) {
	pod := choosing(on("a", "n", corev1.PodPending, ""))
	if pod.Spec.NodeName != "" || pod.Spec.NodeSelector[corev1.LabelHostname] != "n" {
		t.Errorf("the scheduler gets %+v", pod.Spec)
	}
}
