package components

import (
	"context"
	"errors"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
)

const (
	// seat is a resource of which the node has one.
	seat = "faultline.dev/seat"
	// urgent is a priority above that of ordinary pods.
	urgent = "faultline-urgent"
)

var _ = Describe("Without a scheduler", Topology("single-host-minimal"), Component(clusters.Scheduler), Core, func() {
	It("no pod gives way to a more urgent one", Claims("SCHED-02"), func(ctx SpecContext) {
		d := On(ctx, "single-host-minimal")
		Expect(d.Attempt("give the node one seat", offerSeat(d.WorkloadNodes()[0]))).To(BeAccepted())
		d.Afterwards(withdrawSeat(d.WorkloadNodes()[0]))
		Expect(d.Attempt("start a pod that takes the seat", seated("first", ""))).To(BeAccepted())
		Expect(d.BecomesTrue("it has the seat", d.Timing.Binding(), hasNode("first"))).To(Succeed())
		d.Inject(fault.Stop(d.Instances(clusters.Scheduler)...).Losing(clusters.Scheduler))

		Expect(d.Attempt("start a more urgent pod", seated("second", urgent))).To(BeAccepted())
		Expect(d.StaysTrue("the first keeps the seat", keepsSeat)).To(Succeed())

		d.Undo()
		Expect(d.BecomesTrue("the more urgent pod has the seat", clusters.Bounds{Upper: d.Timing.StaticPodReturn().Upper + d.Timing.Binding().Upper}, hasNode("second"))).To(Succeed())
		Expect(d.BecomesTrue("the first is gone", d.Timing.Binding(), PodGone("first"))).To(Succeed())
	})
})

// offerSeat gives the node a seat, and makes the priority.
func offerSeat(n *clusters.Node) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		class := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: urgent}, Value: 1000}
		_, err := c.SchedulingV1().PriorityClasses().Create(ctx, class, metav1.CreateOptions{})
		return errors.Join(err, patchSeats(ctx, c, n, `"1"`))
	}
}

func withdrawSeat(n *clusters.Node) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		return errors.Join(
			c.SchedulingV1().PriorityClasses().Delete(ctx, urgent, metav1.DeleteOptions{}),
			patchSeats(ctx, c, n, "null"),
		)
	}
}

// patchSeats sets how many seats the node has; null is none and nothing said of them.
func patchSeats(ctx context.Context, c kubernetes.Interface, n *clusters.Node, seats string) error {
	patch := fmt.Appendf(nil, `{"status":{"capacity":{%q:%s},"allocatable":{%q:%s}}}`, seat, seats, seat, seats)
	_, err := c.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// seated is a pod that needs a seat. Nothing has to run for it to keep one.
func seated(name, priority string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		one := corev1.ResourceList{seat: resource.MustParse("1")}
		container := IdleContainer()
		container.Resources = corev1.ResourceRequirements{Requests: one, Limits: one}
		none := int64(0)
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.PodSpec{
				PriorityClassName: priority, TerminationGracePeriodSeconds: &none,
				Containers: []corev1.Container{container},
			},
		}
		_, err := c.CoreV1().Pods(Namespace).Create(ctx, pod, metav1.CreateOptions{})
		return err
	}
}

func hasNode(name string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		pod, err := c.CoreV1().Pods(Namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && pod.Spec.NodeName == "" {
			err = fmt.Errorf("pod %s has no node", name)
		}
		return err
	}
}

// keepsSeat fails when the first pod has to go, or the second is meant for its place.
func keepsSeat(ctx context.Context, c kubernetes.Interface) error {
	first, err := c.CoreV1().Pods(Namespace).Get(ctx, "first", metav1.GetOptions{})
	if err != nil {
		return err
	}
	second, err := c.CoreV1().Pods(Namespace).Get(ctx, "second", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if first.DeletionTimestamp != nil || second.Spec.NodeName != "" || second.Status.NominatedNodeName != "" {
		return fmt.Errorf("the first is deleted at %v, the second is on %q and nominated for %q",
			first.DeletionTimestamp, second.Spec.NodeName, second.Status.NominatedNodeName)
	}
	return nil
}
