package components

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	"faultline/reports/record"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

var _ = Describe("The only API server", Topology("single-host-minimal"), Component(clusters.APIServer), Core, SpecPriority(10), func() {
	It("takes every change with it, and the scheduler and the controller manager depend on it", Claims("API-01", "API-02"), func(ctx SpecContext) {
		d := On(ctx, "single-host-minimal")
		leaders := clusters.Instances{d.Leader(clusters.Scheduler), d.Leader(clusters.ControllerManager)}
		exits := d.WatchExits(leaders...)
		d.Inject(fault.Stop(d.Instances(clusters.APIServer)...).Losing(clusters.APIServer))

		for _, name := range []probe.Name{probe.Write, probe.ConsistentRead, probe.CachedRead} {
			Expect(d).To(Lose(name).As(record.Refused).Within(d.Timing.Noticed()))
		}
		Expect(d.Attempt("start a pod", startPod)).To(BeRefused())
		Expect(d.Attempt("stop pods", stopPods)).To(BeRefused())
		Expect(d.Attempt("scale a deployment", scaleTo(3))).To(BeRefused())
		Expect(d.Attempt("create a service", createService)).To(BeRefused())
		Expect(d.Attempt("update a replication controller", updateReplicationController)).To(BeRefused())
		for _, i := range leaders {
			Expect(d).To(GiveUp(i, exits).Within(d.Timing.LeaderGivesUp()))
		}
		Expect(d).To(KeepServing(probe.Workload))
		Expect(d).To(KeepServing(probe.Service))

		d.Undo()
		Expect(d).To(Resume(probe.ConsistentRead).Within(d.Timing.StaticPodReturn()))
		Expect(d).To(Resume(probe.Schedule).Within(d.Timing.ControlPlaneReturn()))
		Expect(d).To(Resume(probe.Reconcile).Within(d.Timing.ControlPlaneReturn()))
	})
})

var _ = Describe("One of three API servers", Topology("three-host-stacked"), Component(clusters.APIServer), Core, func() {
	It("is not missed once the load balancer has noticed", Claims("API-07"), func(ctx SpecContext) {
		d := On(ctx, "three-host-stacked")
		lost := d.Instances(clusters.APIServer)[0]
		others := d.With(clusters.ControlPlane)[1:]
		d.Inject(fault.Stop(lost))

		Expect(d).To(Lose(probe.CachedRead).On(lost.Node).As(record.Refused).Within(d.Timing.Noticed()))
		for _, name := range []probe.Name{probe.Write, probe.ConsistentRead} {
			Expect(d).To(Pause(name).Through(d.Front()).Within(d.Timing.LoadBalancerAfterRemoval()))
		}
		Expect(d).To(KeepServing(probe.CachedRead).On(others...))

		d.Undo()
		Expect(d).To(Resume(probe.CachedRead).On(lost.Node).Within(d.Timing.StaticPodReturn()))
	})
})

func startPod(ctx context.Context, c kubernetes.Interface) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "attempt-"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "none", Image: "none"}}},
	}
	_, err := c.CoreV1().Pods(Namespace).Create(ctx, pod, metav1.CreateOptions{})
	return err
}

func stopPods(ctx context.Context, c kubernetes.Interface) error {
	return c.CoreV1().Pods(Namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app=" + Deployment})
}

func scaleTo(replicas int) func(context.Context, kubernetes.Interface) error {
	return func(ctx context.Context, c kubernetes.Interface) error {
		return scale(ctx, c, replicas)
	}
}

func createService(ctx context.Context, c kubernetes.Interface) error {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "attempt-"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}
	_, err := c.CoreV1().Services(Namespace).Create(ctx, service, metav1.CreateOptions{})
	return err
}

func updateReplicationController(ctx context.Context, c kubernetes.Interface) error {
	_, err := c.CoreV1().ReplicationControllers(Namespace).Patch(ctx, Deployment, types.MergePatchType,
		[]byte(`{"spec":{"replicas":0}}`), metav1.PatchOptions{})
	return err
}
