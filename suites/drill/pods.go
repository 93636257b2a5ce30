package drill

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// StartBoundPod starts a pod that names its node, which needs no scheduler, and
// waits until it runs.
func (d *Drill) StartBoundPod() error {
	name := "bound-" + d.experiment.ID
	create := func(ctx context.Context, c kubernetes.Interface) error {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.PodSpec{
				NodeName: d.WorkloadNodes()[0].Name,
				Containers: []corev1.Container{{
					Name: "heartbeat", Image: bench.Images.Workload, ImagePullPolicy: corev1.PullNever, Args: []string{"heartbeat"},
				}},
			},
		}
		_, err := c.CoreV1().Pods(Namespace).Create(ctx, pod, metav1.CreateOptions{})
		return err
	}
	if a := d.Attempt("start a pod that names its node", create); a.err != nil {
		return d.told("a pod that names its node starts", a.err)
	}
	return d.BecomesTrue("a pod that names its node starts", d.Timing.Binding(), func(ctx context.Context, c kubernetes.Interface) error {
		pod, err := c.CoreV1().Pods(Namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && pod.Status.Phase != corev1.PodRunning {
			err = fmt.Errorf("pod %s is %s", name, pod.Status.Phase)
		}
		return err
	})
}

// BindEveryPod waits until no pod waits for a scheduler.
func (d *Drill) BindEveryPod() error {
	return d.BecomesTrue("every waiting pod is bound", d.Timing.Binding(), func(ctx context.Context, c kubernetes.Interface) error {
		pods, err := c.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName="})
		if err != nil {
			return err
		}
		for _, p := range pods.Items {
			// The schedule probe always has a young pod that waits its turn.
			if time.Since(p.CreationTimestamp.Time) > 5*time.Second {
				return fmt.Errorf("pod %s waits since %s", p.Name, p.CreationTimestamp)
			}
		}
		return nil
	})
}
