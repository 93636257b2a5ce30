package components

import (
	"context"
	"errors"
	"fmt"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
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

// NothingIsCarriedOut is the experiment of KCM-01; sabotage runs use it too.
func NothingIsCarriedOut(d *Drill) {
	GinkgoHelper()
	d.Inject(fault.Stop(d.Instances(clusters.ControllerManager)...).Losing(clusters.ControllerManager))

	Expect(d).To(Lose(probe.Reconcile).Within(d.Timing.Noticed()))
	Expect(d.Attempt("delete the pod of a deployment", stopPods)).To(BeAccepted())
	Expect(d.Attempt("scale the deployment", ScaleTo(3))).To(BeAccepted())
	Expect(d.Attempt("create a job", createJob)).To(BeAccepted())
	Expect(d.Attempt("create a namespace and delete it", createAndDeleteNamespace)).To(BeAccepted())
	Expect(d.Attempt("delete an object that owns another", createOwnedAndDeleteOwner)).To(BeAccepted())
	Expect(d.Attempt("create a service", createServed)).To(BeAccepted())
	d.Afterwards(deleteServed)
	Expect(d.StartPod(servedPod(d.WorkloadNodes()[0]))).To(Succeed())
	Expect(d.StaysTrueFor("nobody carries out any of it", d.Timing.ControlLoops().Upper, nobody(controlLoops))).To(Succeed())
	d.Hold(d.Timing.LongerThanEviction())
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
	// served is a service and the only pod that it leads to.
	served = "attempt-served"
	// owned is an object that belongs to owner.
	owner, owned = "attempt-owner", "attempt-owned"
)

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
	{"replaces the deployment's deleted pod", func(ctx context.Context, c kubernetes.Interface) (bool, string, error) {
		pods, err := c.CoreV1().Pods(Namespace).List(ctx, OfDeployment)
		if err != nil {
			return false, "", err
		}
		left := slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
		return len(left) > 0, fmt.Sprintf("the deployment has %d pods that are not being deleted", len(left)), nil
	}},
	{"makes a pod for the job", func(ctx context.Context, c kubernetes.Interface) (bool, string, error) {
		pods, err := c.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job})
		if err != nil {
			return false, "", err
		}
		return len(pods.Items) > 0, fmt.Sprintf("the job has %d pods", len(pods.Items)), nil
	}},
	endOfNamespace,
	{"deletes what the deleted object owned", func(ctx context.Context, c kubernetes.Interface) (bool, string, error) {
		_, err := c.CoreV1().ConfigMaps(Namespace).Get(ctx, owned, metav1.GetOptions{})
		there, saw, err := found(err)
		return err == nil && !there, saw, err
	}},
	{"leads the service to its pod", func(ctx context.Context, c kubernetes.Interface) (bool, string, error) {
		list, err := c.DiscoveryV1().EndpointSlices(Namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + served})
		if err != nil {
			return false, "", err
		}
		endpoints := 0
		for _, s := range list.Items {
			endpoints += len(s.Endpoints)
		}
		return endpoints > 0, fmt.Sprintf("the service has %d endpoints", endpoints), nil
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

// createOwnedAndDeleteOwner leaves an object whose owner is gone.
func createOwnedAndDeleteOwner(ctx context.Context, c kubernetes.Interface) error {
	objects, background := c.CoreV1().ConfigMaps(Namespace), metav1.DeletePropagationBackground
	o, err := objects.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: owner}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	by := []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: owner, UID: o.UID}}
	if _, err := objects.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: owned, OwnerReferences: by}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	return objects.Delete(ctx, owner, metav1.DeleteOptions{PropagationPolicy: &background})
}

func createServed(ctx context.Context, c kubernetes.Interface) error {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: served},
		Spec:       corev1.ServiceSpec{Selector: clusters.AppLabels(served), Ports: []corev1.ServicePort{{Port: 80}}},
	}
	_, err := c.CoreV1().Services(Namespace).Create(ctx, service, metav1.CreateOptions{})
	return err
}

func deleteServed(ctx context.Context, c kubernetes.Interface) error {
	return c.CoreV1().Services(Namespace).Delete(ctx, served, metav1.DeleteOptions{})
}

// servedPod names its node, as there may be nobody to make it otherwise.
func servedPod(n *clusters.Node) *corev1.Pod {
	pod := WorkloadPod(n, served, "heartbeat")
	pod.Labels = clusters.AppLabels(served)
	return pod
}
