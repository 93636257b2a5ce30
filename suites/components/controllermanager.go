package components

import (
	"context"
	"errors"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
		Expect(d.StaysTrueFor("nobody gives it an identity", d.Timing.ControlLoops().Upper, nobody(identity))).To(Succeed())

		d.Undo()
		for _, loop := range identity {
			Expect(d.BecomesTrue("somebody "+loop.name, d.Timing.ControlPlaneReturn(d.Outage()), loop.done)).To(Succeed())
		}
		Expect(d.Attempt("create a pod in it", podInShortNamespace)).To(BeAccepted())
		Expect(d.Attempt("delete the namespace", deleteShortNamespace)).To(BeAccepted())
		Expect(d.BecomesTrue("somebody "+endOfNamespace.name, d.Timing.Binding(), endOfNamespace.done)).To(Succeed())
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
	Expect(d.StaysTrueFor("nobody carries out any of it", d.Timing.ControlLoops().Upper, nobody(controlLoops))).To(Succeed())
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

func podInShortNamespace(ctx context.Context, c kubernetes.Interface) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "attempt-"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{IdleContainer()}},
	}
	_, err := c.CoreV1().Pods(shortNamespace).Create(ctx, pod, metav1.CreateOptions{})
	return err
}

// loop is what somebody has to do about an accepted change.
type loop struct {
	name string
	// look tells whether it is done, and what it saw. An API that does not answer says neither.
	look func(context.Context, kubernetes.Interface) (done bool, saw string, err error)
}

// done fails unless somebody has done it.
func (l loop) done(ctx context.Context, c kubernetes.Interface) error {
	done, saw, err := l.look(ctx, c)
	if err != nil {
		return err
	}
	return Unless(done, errors.New(saw))
}

// nobody fails when a control loop has done its work, or when it cannot be told.
func nobody(loops []loop) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		for _, l := range loops {
			done, saw, err := l.look(ctx, c)
			if err != nil {
				return err
			}
			if done {
				return fmt.Errorf("somebody %s: %s", l.name, saw)
			}
		}
		return nil
	}
}

var endOfNamespace = loop{"ends the deleted namespace", func(ctx context.Context, c kubernetes.Interface) (bool, string, error) {
	list, err := c.CoreV1().Namespaces().List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + shortNamespace})
	if err != nil || len(list.Items) == 0 {
		return err == nil, "it is gone", err
	}
	return false, fmt.Sprintf("the namespace is %s", list.Items[0].Status.Phase), nil
}}

// controlLoops are those that a controller manager is expected to run.
var controlLoops = []loop{
	{"scales the deployment's replica set", func(ctx context.Context, c kubernetes.Interface) (bool, string, error) {
		d, err := c.AppsV1().Deployments(Namespace).Get(ctx, Deployment, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		return d.Status.Replicas == 3, fmt.Sprintf("the deployment has %d replicas", d.Status.Replicas), nil
	}},
	{"makes a pod for the job", func(ctx context.Context, c kubernetes.Interface) (bool, string, error) {
		pods, err := c.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job})
		if err != nil {
			return false, "", err
		}
		return len(pods.Items) > 0, fmt.Sprintf("the job has %d pods", len(pods.Items)), nil
	}},
	endOfNamespace,
}

// identity is what pods in a new namespace need.
var identity = []loop{
	{"gives it a service account", func(ctx context.Context, c kubernetes.Interface) (bool, string, error) {
		_, err := c.CoreV1().ServiceAccounts(shortNamespace).Get(ctx, "default", metav1.GetOptions{})
		return found(err)
	}},
	{"gives it the cluster's root certificate", func(ctx context.Context, c kubernetes.Interface) (bool, string, error) {
		_, err := c.CoreV1().ConfigMaps(shortNamespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return found(err)
	}},
}

// found tells what the API has from what it has not, and both from no answer.
func found(err error) (bool, string, error) {
	switch {
	case err == nil:
		return true, "it is there", nil
	case apierrors.IsNotFound(err):
		return false, err.Error(), nil
	default:
		return false, "", err
	}
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
