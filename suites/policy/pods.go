package policy

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	. "faultline/suites/drill"
)

// idlePod is one for which nothing is run, and which is gone as soon as it is deleted.
func idlePod(changes ...func(*corev1.Pod)) *corev1.Pod {
	none := int64(0)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "attempt-"},
		Spec:       corev1.PodSpec{TerminationGracePeriodSeconds: &none, Containers: []corev1.Container{IdleContainer()}},
	}
	for _, change := range changes {
		change(pod)
	}
	return pod
}

// boundTo names the pod's node, as a scheduler would.
func boundTo(node string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.NodeName = node }
}

// mirrorOf lets the pod stand for a static one of a node.
func mirrorOf(node string, uid types.UID) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		yes := true
		p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "attempt"}
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node, UID: uid, Controller: &yes}}
	}
}

// mounting gives the pod a secret, and its name.
func mounting(secret string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.GenerateName, p.Name = "", secret
		source := corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}}
		p.Spec.Volumes = []corev1.Volume{{Name: "secret", VolumeSource: source}}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "secret", MountPath: "/secret"}}
	}
}

// asking asks for so much CPU time.
func asking(cpu string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		list := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
		p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: list, Limits: list}
	}
}

// from gives the pod's container an image.
func from(image string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Containers[0].Image = image }
}

// begunBy lets a container with an image run before the pod's own.
func begunBy(image string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		first := IdleContainer()
		first.Name, first.Image = "first", image
		p.Spec.InitContainers = []corev1.Container{first}
	}
}

func privileged(p *corev1.Pod) {
	yes := true
	p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: &yes}
}

// restricted keeps to the strictest of the Pod Security Standards.
func restricted(p *corev1.Pod) {
	yes, no := true, false
	p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{
		RunAsNonRoot: &yes, AllowPrivilegeEscalation: &no,
		Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}
