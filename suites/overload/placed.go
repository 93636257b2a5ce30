package overload

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	. "faultline/suites/drill"
)

// sizeLabel tells pods of one size.
const sizeLabel = "faultline/size"

func nameOf(size string, number int) string { return fmt.Sprintf("%s-%d", size, number) }

// choosing leaves a pod that names its node to the scheduler, which may choose that node only.
func choosing(pod *corev1.Pod) *corev1.Pod {
	pod.Spec.NodeSelector = map[string]string{corev1.LabelHostname: pod.Spec.NodeName}
	pod.Spec.NodeName = ""
	return pod
}

func create(pod *corev1.Pod) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		_, err := c.CoreV1().Pods(Namespace).Create(ctx, pod, metav1.CreateOptions{})
		return err
	}
}

// divided fails unless so many pods of a size run and so many wait, for that reason.
func divided(size string, running, waiting int, reason string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{LabelSelector: sizeLabel + "=" + size})
		if err != nil {
			return err
		}
		run, wait := divide(list.Items, reason)
		return Unless(run == running && wait == waiting && run+wait == len(list.Items),
			fmt.Errorf("of %d pods %d run and %d wait for that reason: %s", len(list.Items), run, wait, told(list.Items)))
	}
}

// divide counts the pods that run and those for which the scheduler finds no node, for a reason.
func divide(pods []corev1.Pod, reason string) (running, waiting int) {
	for _, p := range pods {
		switch {
		case p.Status.Phase == corev1.PodRunning:
			running++
		case p.Spec.NodeName == "" && strings.Contains(refusal(p), reason):
			waiting++
		}
	}
	return running, waiting
}

// placed fails unless there are so many pods of a size, and the scheduler has found a node for each.
func placed(size string, want int) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{LabelSelector: sizeLabel + "=" + size})
		if err != nil {
			return err
		}
		waits := func(p corev1.Pod) bool { return p.Spec.NodeName == "" }
		return Unless(len(list.Items) == want && !slices.ContainsFunc(list.Items, waits), fmt.Errorf("%s", told(list.Items)))
	}
}

// refusal is why the scheduler finds no node for a pod; empty unless it has looked.
func refusal(p corev1.Pod) string {
	at := slices.IndexFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse
	})
	if at < 0 {
		return ""
	}
	return p.Status.Conditions[at].Message
}

func told(pods []corev1.Pod) string {
	var words []string
	for _, p := range pods {
		words = append(words, fmt.Sprintf("%s is %s %s%s", p.Name, p.Status.Phase, p.Status.Reason, refusal(p)))
	}
	return strings.Join(words, "; ")
}

// waits fails unless the scheduler finds no node for a pod, for that reason.
func waits(name, reason string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		pod, err := c.CoreV1().Pods(Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return Unless(pod.Spec.NodeName == "" && strings.Contains(refusal(*pod), reason), fmt.Errorf("%s", told([]corev1.Pod{*pod})))
	}
}

// ended fails unless a pod has failed, for that reason.
func ended(name, reason string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		pod, err := c.CoreV1().Pods(Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return Unless(pod.Status.Phase == corev1.PodFailed && pod.Status.Reason == reason, fmt.Errorf("%s", told([]corev1.Pod{*pod})))
	}
}

// running fails unless pods run with the containers that they began with.
func running(names ...string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		for _, name := range names {
			pod, err := c.CoreV1().Pods(Namespace).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			restarted := slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.RestartCount > 0 })
			if pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil || restarted {
				return fmt.Errorf("%s; restarted: %t", told([]corev1.Pod{*pod}), restarted)
			}
		}
		return nil
	}
}
