package components

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

var _ = Describe("Without a controller manager", Topology("single-host-minimal"), Component(clusters.ControllerManager), Core, SpecPriority(10), func() {
	It("changes are accepted and nobody carries them out", Claims("KCM-01"), func(ctx SpecContext) {
		d := On(ctx, "single-host-minimal")
		d.Inject(fault.Stop(d.Instances(clusters.ControllerManager)...).Losing(clusters.ControllerManager))

		Expect(d).To(Lose(probe.Reconcile).Within(d.Timing.Noticed()))
		Expect(d.Attempt("scale a deployment", scaleTo(3))).To(BeAccepted())
		Expect(d.Attempt("create a job", createJob)).To(BeAccepted())
		Expect(d.Attempt("create a namespace and delete it", createAndDeleteNamespace)).To(BeAccepted())
		Expect(d.StaysTrue("nobody carries out any of it", nobody)).To(Succeed())
		Expect(d).To(KeepServing(probe.Schedule))
		Expect(d).To(KeepServing(probe.Write))
		Expect(d).To(KeepServing(probe.Workload))

		d.Undo()
		Expect(d).To(Resume(probe.Reconcile).Within(d.Timing.ControlPlaneReturn()))
		for _, loop := range controlLoops {
			Expect(d.BecomesTrue("somebody "+loop.name, d.Timing.Binding(), loop.done)).To(Succeed())
		}
		Expect(d.Attempt("scale the deployment back", scaleTo(1))).To(BeAccepted())
	})
})

const (
	job            = "attempt"
	shortNamespace = "faultline-attempt"
)

// controlLoops are what somebody has to do about the accepted changes.
var controlLoops = []struct {
	name string
	done func(context.Context, kubernetes.Interface) error
}{
	{"scales the deployment's replica set", func(ctx context.Context, c kubernetes.Interface) error {
		d, err := c.AppsV1().Deployments(Namespace).Get(ctx, Deployment, metav1.GetOptions{})
		if err == nil && d.Status.Replicas != 3 {
			err = fmt.Errorf("the deployment has %d replicas", d.Status.Replicas)
		}
		return err
	}},
	{"makes a pod for the job", func(ctx context.Context, c kubernetes.Interface) error {
		pods, err := c.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job})
		if err == nil && len(pods.Items) == 0 {
			err = fmt.Errorf("the job has no pod")
		}
		return err
	}},
	{"ends the deleted namespace", func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Namespaces().List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + shortNamespace})
		if err == nil && len(list.Items) > 0 {
			err = fmt.Errorf("the namespace is %s", list.Items[0].Status.Phase)
		}
		return err
	}},
}

// nobody is true while no control loop has done its work.
func nobody(ctx context.Context, c kubernetes.Interface) error {
	for _, loop := range controlLoops {
		if loop.done(ctx, c) == nil {
			return fmt.Errorf("somebody %s", loop.name)
		}
	}
	return nil
}

func scale(ctx context.Context, c kubernetes.Interface, replicas int) error {
	patch := fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas)
	_, err := c.AppsV1().Deployments(Namespace).Patch(ctx, Deployment, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

func createJob(ctx context.Context, c kubernetes.Interface) error {
	j := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: job},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "none", Image: "none", ImagePullPolicy: corev1.PullNever}},
		}}},
	}
	_, err := c.BatchV1().Jobs(Namespace).Create(ctx, j, metav1.CreateOptions{})
	return err
}

func createAndDeleteNamespace(ctx context.Context, c kubernetes.Interface) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: shortNamespace}}
	if _, err := c.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return err
	}
	return c.CoreV1().Namespaces().Delete(ctx, shortNamespace, metav1.DeleteOptions{})
}
