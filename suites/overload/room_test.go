package overload

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"faultline/clusters"
)

func TestTakenBy(t *testing.T) {
	asks := func(cpu, memory string) corev1.Container {
		return corev1.Container{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
		}}}
	}
	pod := func(phase corev1.PodPhase, containers ...corev1.Container) corev1.Pod {
		return corev1.Pod{Spec: corev1.PodSpec{Containers: containers}, Status: corev1.PodStatus{Phase: phase}}
	}
	leaving := pod(corev1.PodRunning, asks("1", "1Gi"))
	leaving.DeletionTimestamp = &metav1.Time{}
	got := takenBy([]corev1.Pod{
		pod(corev1.PodRunning, asks("100m", "50Mi"), asks("10m", "20Mi")), pod(corev1.PodPending, corev1.Container{}),
		pod(corev1.PodFailed, asks("1", "1Gi")), pod(corev1.PodSucceeded, asks("1", "1Gi")), leaving,
	})
	if want := (room{110, 70 << 20, 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestReservation(t *testing.T) {
	r := reservation{milliCPUs: 450, pods: 9}
	want := []string{
		"--kube-reserved=cpu=450m,memory=67108864", "--system-reserved=cpu=450m,memory=67108864",
		"--max-pods=9", "--eviction-hard=memory.available<104857600",
	}
	if got := r.flags(); !slices.Equal(got, want) {
		t.Errorf("the flags are %q, want %q", got, want)
	}
	if got, want := r.leaves(room{2000, 1 << 30, 110}), (room{1100, (1024 - 228) << 20, 9}); got != want {
		t.Errorf("it leaves %+v, want %+v", got, want)
	}
}

func TestAllows(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	node.Status.Allocatable = corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("1100m"), corev1.ResourceMemory: resource.MustParse("1Ki"), corev1.ResourcePods: resource.MustParse("9"),
	}
	client := fake.NewClientset(node)
	for want, ok := range map[room]bool{{1100, 1024, 9}: true, {1101, 1024, 9}: false, {1100, 1023, 9}: false, {1100, 1024, 8}: false} {
		if err := allows(&clusters.Node{Name: "n"}, want)(t.Context(), client); (err == nil) != ok {
			t.Errorf("%+v: %v", want, err)
		}
	}
}
