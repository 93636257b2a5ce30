package airgap

import (
	"context"
	"fmt"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// ofApplication are the pods of what the layout runs, whose image is in the cluster's registry.
var ofApplication = clusters.OfApp(clusters.AppLabel)

// fromRegistry is the image that the layout's application has from the registry.
func fromRegistry(ctx context.Context, d *Drill) string {
	GinkgoHelper()
	client, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	list, err := client.CoreV1().Pods(clusters.AirGapNamespace).List(ctx, ofApplication)
	Expect(err).NotTo(HaveOccurred())
	Expect(list.Items).NotTo(BeEmpty())
	return list.Items[0].Spec.Containers[0].Image
}

// podOf is a pod on a node with an image that may have to be pulled. No image: the one that every
// node has.
func podOf(n *clusters.Node, name, image string, policy corev1.PullPolicy) *corev1.Pod {
	pod := WorkloadPod(n, name, "heartbeat")
	container := &pod.Spec.Containers[0]
	container.ImagePullPolicy = policy
	if image != "" {
		container.Image = image
	}
	return pod
}

func named(name string) metav1.ListOptions {
	return metav1.ListOptions{FieldSelector: "metadata.name=" + name}
}

// restarted fails unless the pod's container has ended and runs again.
func restarted(name string) Request {
	return ofPods(Namespace, named(name), func(s corev1.ContainerStatus) bool { return s.RestartCount > 0 && s.State.Running != nil })
}

// waitsForImage fails unless one of the pods is in the pause between two tries to pull its image.
func waitsForImage(namespace string, selected metav1.ListOptions) Request {
	return ofPods(namespace, selected, func(s corev1.ContainerStatus) bool {
		return s.State.Waiting != nil && s.State.Waiting.Reason == "ImagePullBackOff"
	})
}

// notStarted fails unless each of the pods waits, and never had a container.
func notStarted(names ...string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		for _, name := range names {
			waits := ofPods(Namespace, named(name), func(s corev1.ContainerStatus) bool { return s.State.Waiting != nil && s.ContainerID == "" })
			if err := waits(ctx, c); err != nil {
				return err
			}
		}
		return nil
	}
}

// runs fails unless the pod is ready.
func runs(name string) Request { return PodsReady(Namespace, named(name), 1) }

// ofPods fails unless a container of one of the pods is as wanted.
func ofPods(namespace string, selected metav1.ListOptions, is func(corev1.ContainerStatus) bool) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Pods(namespace).List(ctx, selected)
		if err != nil {
			return err
		}
		var states []corev1.ContainerState
		for _, p := range list.Items {
			if slices.ContainsFunc(p.Status.ContainerStatuses, is) {
				return nil
			}
			for _, s := range p.Status.ContainerStatuses {
				states = append(states, s.State)
			}
		}
		return fmt.Errorf("the containers of %d pods are %s", len(list.Items), told(states))
	}
}

// told is the states of containers in a few words.
func told(states []corev1.ContainerState) string {
	var words []string
	for _, s := range states {
		switch {
		case s.Running != nil:
			words = append(words, "running")
		case s.Waiting != nil:
			words = append(words, s.Waiting.Reason)
		case s.Terminated != nil:
			words = append(words, s.Terminated.Reason)
		}
	}
	return fmt.Sprint(words)
}
