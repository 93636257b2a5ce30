package components

import (
	"context"
	"errors"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

var _ = Describe("Without a controller manager", Topology("single-host-minimal"), Component(clusters.ControllerManager), Core, func() {
	It("changes are accepted and nobody carries them out", Claims("KCM-01", "KCM-06"), func(ctx SpecContext) {
		NothingIsCarriedOut(On(ctx, "single-host-minimal"))
	})
})

var _ = Describe("Without a controller manager new namespaces", Topology("single-host-minimal"), Component(clusters.ControllerManager), Core, func() {
	It("have no identity, so that no pod can be made in them", Claims("KCM-03"), func(ctx SpecContext) {
		d := On(ctx, "single-host-minimal")
		d.Inject(fault.Stop(d.Instances(clusters.ControllerManager)...).Losing(clusters.ControllerManager))

		Expect(d.Attempt("create a namespace", createShortNamespace)).To(BeAccepted())
		Expect(d.Attempt("create a pod in it", podInShortNamespace)).To(BeRejected(`serviceaccount "default" not found`))
		Expect(d.StaysTrue("nobody gives it an identity", func(ctx context.Context, c kubernetes.Interface) error {
			if hasIdentity(ctx, c) == nil {
				return fmt.Errorf("somebody did")
			}
			return nil
		})).To(Succeed())

		d.Undo()
		Expect(d.BecomesTrue("it has a service account and the cluster's root certificate", d.Timing.ControlPlaneReturn(d.Outage()), hasIdentity)).To(Succeed())
		Expect(d.Attempt("create a pod in it", podInShortNamespace)).To(BeAccepted())
		Expect(d.Attempt("delete the namespace", deleteShortNamespace)).To(BeAccepted())
		Expect(d.BecomesTrue("the namespace is gone", d.Timing.Binding(), shortNamespaceIsGone)).To(Succeed())
	})
})

// NothingIsCarriedOut is the experiment of KCM-01; sabotage runs use it too.
func NothingIsCarriedOut(d *Drill) {
	GinkgoHelper()
	d.Inject(fault.Stop(d.Instances(clusters.ControllerManager)...).Losing(clusters.ControllerManager))

	Expect(d).To(Lose(probe.Reconcile).Within(d.Timing.Noticed()))
	Expect(d.Attempt("scale a deployment", ScaleTo(3))).To(BeAccepted())
	Expect(d.Attempt("create a job", createJob)).To(BeAccepted())
	Expect(d.Attempt("create a namespace and delete it", createAndDeleteNamespace)).To(BeAccepted())
	Expect(d.StaysTrue("nobody carries out any of it", nobody)).To(Succeed())
	Expect(d).To(KeepServing(probe.Schedule))
	Expect(d).To(KeepServing(probe.Write))
	for _, name := range []probe.Name{probe.Workload, probe.Service, probe.ServiceAPI, probe.Resolve} {
		Expect(d).To(KeepServing(name))
	}

	d.Undo()
	Expect(d).To(Resume(probe.Reconcile).Within(d.Timing.ControlPlaneReturn(d.Outage())))
	for _, loop := range controlLoops {
		Expect(d.BecomesTrue("somebody "+loop.name, d.Timing.Binding(), loop.done)).To(Succeed())
	}
	Expect(d.Attempt("scale the deployment back", ScaleTo(1))).To(BeAccepted())
}

const (
	job            = "attempt"
	shortNamespace = "faultline-attempt"
)

// hasIdentity fails unless pods in the short-lived namespace have a service account, and
// its certificate authority.
func hasIdentity(ctx context.Context, c kubernetes.Interface) error {
	_, account := c.CoreV1().ServiceAccounts(shortNamespace).Get(ctx, "default", metav1.GetOptions{})
	_, root := c.CoreV1().ConfigMaps(shortNamespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
	return errors.Join(account, root)
}

func podInShortNamespace(ctx context.Context, c kubernetes.Interface) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "attempt-"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{IdleContainer()}},
	}
	_, err := c.CoreV1().Pods(shortNamespace).Create(ctx, pod, metav1.CreateOptions{})
	return err
}

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
	{"ends the deleted namespace", shortNamespaceIsGone},
}

func shortNamespaceIsGone(ctx context.Context, c kubernetes.Interface) error {
	list, err := c.CoreV1().Namespaces().List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + shortNamespace})
	if err == nil && len(list.Items) > 0 {
		err = fmt.Errorf("the namespace is %s", list.Items[0].Status.Phase)
	}
	return err
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

func createJob(ctx context.Context, c kubernetes.Interface) error {
	j := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: job},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{IdleContainer()},
		}}},
	}
	_, err := c.BatchV1().Jobs(Namespace).Create(ctx, j, metav1.CreateOptions{})
	return err
}

func createAndDeleteNamespace(ctx context.Context, c kubernetes.Interface) error {
	if err := createShortNamespace(ctx, c); err != nil {
		return err
	}
	return deleteShortNamespace(ctx, c)
}

func createShortNamespace(ctx context.Context, c kubernetes.Interface) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: shortNamespace}}
	_, err := c.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
	return err
}

func deleteShortNamespace(ctx context.Context, c kubernetes.Interface) error {
	return c.CoreV1().Namespaces().Delete(ctx, shortNamespace, metav1.DeleteOptions{})
}
