package drill

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
)

// Namespace is where drills attempt things.
const Namespace = "faultline-drill"

// Deployment is a deployment of one replica, and a replication controller of
// none, for drills to change.
const Deployment = "attempt"

// ReplicaContainer is what its replicas call their container.
const ReplicaContainer = "heartbeat"

// furnish creates what drills change. What exists already is kept.
func (b *Bench) furnish(ctx context.Context, c *clusters.Cluster) error {
	client, err := c.Client(c.Front())
	if err != nil {
		return err
	}
	steps := []func(context.Context, kubernetes.Interface) error{createNamespace, b.createDeployment, createReplicationController}
	for _, create := range steps {
		err := clusters.Await(ctx, 250*time.Millisecond, "what drills change", func(ctx context.Context) error {
			if err := create(ctx, client); err != nil && !apierrors.IsAlreadyExists(err) {
				return err
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("furnish %s: %w", c.Name, err)
		}
	}
	return nil
}

func createNamespace(ctx context.Context, c kubernetes.Interface) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}}
	_, err := c.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
	return err
}

func (b *Bench) createDeployment(ctx context.Context, c kubernetes.Interface) error {
	one := int32(1)
	labels := clusters.AppLabels(Deployment)
	_, err := c.AppsV1().Deployments(Namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: Deployment},
		Spec: appsv1.DeploymentSpec{
			Replicas: &one,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: ReplicaContainer, Image: b.Images.Workload, ImagePullPolicy: corev1.PullNever, Args: []string{"heartbeat"},
				}}},
			},
		},
	}, metav1.CreateOptions{})
	return err
}

// ScaleTo asks for so many replicas of the drills' deployment.
func ScaleTo(replicas int) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		patch := fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas)
		_, err := c.AppsV1().Deployments(Namespace).Patch(ctx, Deployment, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		return err
	}
}

// OfDeployment selects the replicas of the drills' deployment.
var OfDeployment = clusters.OfApp(Deployment)

// ReplicasReady fails unless the drills' deployment has so many replicas, all ready. Those
// that are being deleted count no more.
func ReplicasReady(replicas int32) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		deployment, err := c.AppsV1().Deployments(Namespace).Get(ctx, Deployment, metav1.GetOptions{})
		if err != nil {
			return err
		}
		s := deployment.Status
		if s.ObservedGeneration < deployment.Generation || s.ReadyReplicas != replicas || s.Replicas != replicas {
			return fmt.Errorf("%d of %d replicas are ready, want %d", s.ReadyReplicas, s.Replicas, replicas)
		}
		return nil
	}
}

// ReplicasExist fails unless there are exactly so many replicas, those that are being
// deleted included.
func ReplicasExist(replicas int) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Pods(Namespace).List(ctx, OfDeployment)
		if err == nil && len(list.Items) != replicas {
			err = fmt.Errorf("there are %d pods", len(list.Items))
		}
		return err
	}
}

func createReplicationController(ctx context.Context, c kubernetes.Interface) error {
	none := int32(0)
	labels := clusters.AppLabels(Deployment + "-rc")
	_, err := c.CoreV1().ReplicationControllers(Namespace).Create(ctx, &corev1.ReplicationController{
		ObjectMeta: metav1.ObjectMeta{Name: Deployment},
		Spec: corev1.ReplicationControllerSpec{
			Replicas: &none, Selector: labels,
			Template: &corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "none", Image: "faultline.invalid/none"}}},
			},
		},
	}, metav1.CreateOptions{})
	return err
}

// sweep deletes what attempts left: jobs, and pods that no controller owns.
func (d *Drill) sweep(ctx context.Context) error {
	if !d.Topology.Kubernetes() {
		return nil
	}
	client, err := d.Client(d.Front())
	if err != nil {
		return err
	}
	now, background := int64(0), metav1.DeletePropagationBackground
	err = client.BatchV1().Jobs(Namespace).DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: &background}, metav1.ListOptions{})
	if err != nil {
		return err
	}
	return client.CoreV1().Pods(Namespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{LabelSelector: clusters.AppLabel + "!=" + Deployment})
}
