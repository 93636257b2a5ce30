package workers

import (
	"context"
	"errors"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// crowded is the layout whose two workers are full, so that one alone is too small.
const crowded = "single-master"

// The kinds of replicas that fill the workers: each worker has room for one of each kind.
const (
	// urgent replicas may have a priority above that of the others.
	urgent = "attempt-urgent"
	// guarded ones have a disruption budget that lets none of them go.
	guarded = "attempt-guarded"
	// ordinary ones have neither.
	ordinary = "attempt-ordinary"
)

var kinds = []string{urgent, guarded, ordinary}

// Document A: priority and preemption decide what goes on when a failure leaves too little room
// for everything (A:L110).
var _ = Describe("Two workers that are full, when one of them is lost,", Topology(crowded), Nightly, WholeHost, func() {
	It("run what is urgent in the place of what is not, and least of all of what a disruption budget guards", Claims("WORK-03"), func(ctx SpecContext) {
		d := On(ctx, crowded)
		victim, other := workers(d)
		makePriority(d)
		crowd(ctx, d, urgent)
		loseHalfOfTheRoom(d, victim)

		Expect(d.BecomesTrue("all urgent replicas run, one of them in the place of an ordinary one", d.Timing.Binding(), only(2, 1, 0))).To(Succeed())
		Expect(d.StaysTrue("what has given way waits for room", only(2, 1, 0))).To(Succeed())
		Expect(d.Attempt("evict the guarded replica", evictOne(guarded))).To(BeRejected("disruption budget"))
		Expect(d.Attempt("ask for another urgent replica", scaleKind(urgent, 3))).To(BeAccepted())
		Expect(d.BecomesTrue("that runs too: where nothing else is left, the guarded one gives way all the same", d.Timing.Binding(), only(3, 0, 0))).To(Succeed())
		Expect(d).To(KeepServing(probe.Write))
		Expect(d).To(KeepServing(probe.Workload).On(other))

		Expect(d.Attempt("ask for one urgent replica less", scaleKind(urgent, 2))).To(BeAccepted())
		findRoomAgain(d, victim)
	})

	// The control experiment: without a priority nobody gives way.
	It("run what was there before, when nothing is urgent", Claims("WORK-03"), func(ctx SpecContext) {
		d := On(ctx, crowded)
		victim, _ := workers(d)
		crowd(ctx, d, "")
		loseHalfOfTheRoom(d, victim)

		Expect(d.BecomesTrue("one of each kind waits for room", d.Timing.Binding(), only(1, 1, 1))).To(Succeed())
		Expect(d.StaysTrueFor("nobody gives way", d.Timing.Binding().Upper, only(1, 1, 1))).To(Succeed())

		findRoomAgain(d, victim)
	})
})

// loseHalfOfTheRoom loses a worker, and waits until its pods are evicted.
func loseHalfOfTheRoom(d *Drill, victim *clusters.Node) {
	GinkgoHelper()
	d.Inject(fault.PowerOff(victim))
	Expect(d).To(MarkNotReady(victim).Within(d.Timing.NodeNotReady()))
	isEmptied(d, victim)
}

// findRoomAgain expects the lost worker to come back, and everything to run.
func findRoomAgain(d *Drill, victim *clusters.Node) {
	GinkgoHelper()
	d.Undo()
	Expect(d).To(Resume(probe.Workload).On(victim).Within(d.Timing.NodeReturn()))
	Expect(d.BecomesTrue("all replicas of every kind run again", d.Timing.NodeReturn(), only(2, 2, 2))).To(Succeed())
}

// makePriority makes the priority of urgent replicas for the time of the spec.
func makePriority(d *Drill) {
	GinkgoHelper()
	d.Afterwards(func(ctx context.Context, c kubernetes.Interface) error {
		return c.SchedulingV1().PriorityClasses().Delete(ctx, urgent, metav1.DeleteOptions{})
	})
	Expect(d.Attempt("make a priority above that of ordinary pods", func(ctx context.Context, c kubernetes.Interface) error {
		class := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: urgent}, Value: 1000}
		_, err := c.SchedulingV1().PriorityClasses().Create(ctx, class, metav1.CreateOptions{})
		return err
	})).To(BeAccepted())
}

// crowd fills the workers with two replicas of each kind for the time of the spec. Those of the
// kind urgent get the priority.
func crowd(ctx context.Context, d *Drill, priority string) {
	GinkgoHelper()
	size := thirdOf(ctx, d, Workers(d.Nodes)[0])
	d.Afterwards(deleteKinds)
	for n, kind := range kinds {
		class := ""
		if kind == urgent {
			class = priority
		}
		Expect(d.Attempt("create two replicas of the kind "+kind, createKind(kind, class, size))).To(BeAccepted())
		// One kind after the other: the scheduler spreads each over both workers.
		Expect(d.BecomesTrue("each worker has one of them", d.Timing.Binding(), onEachWorker(d, kinds[:n+1]))).To(Succeed())
	}
	Expect(d.Attempt("guard a kind with a disruption budget", guard)).To(BeAccepted())
	Expect(d.BecomesTrue("the budget lets none of the replicas go", d.Timing.Noticed(), letsNoneGo)).To(Succeed())
}

// thirdOf is so much of a worker's CPU that three replicas fit beside what every worker runs, and
// four on no worker.
func thirdOf(ctx context.Context, d *Drill, n *clusters.Node) resource.Quantity {
	GinkgoHelper()
	client, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	node, err := client.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	return *resource.NewMilliQuantity(node.Status.Allocatable.Cpu().MilliValue()*26/100, resource.DecimalSI)
}

// createKind makes two replicas that ask for so much CPU, with the drills' container.
func createKind(kind, priority string, size resource.Quantity) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		template, err := c.AppsV1().Deployments(Namespace).Get(ctx, Deployment, metav1.GetOptions{})
		if err != nil {
			return err
		}
		two, grace, labels := int32(2), int64(1), clusters.AppLabels(kind)
		pod := template.Spec.Template.DeepCopy()
		pod.Labels = labels
		pod.Spec.PriorityClassName, pod.Spec.TerminationGracePeriodSeconds = priority, &grace
		pod.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: size}
		_, err = c.AppsV1().Deployments(Namespace).Create(ctx, &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: kind},
			Spec:       appsv1.DeploymentSpec{Replicas: &two, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: *pod},
		}, metav1.CreateOptions{})
		return err
	}
}

func scaleKind(kind string, replicas int) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
		_, err := c.AppsV1().Deployments(Namespace).Patch(ctx, kind, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	}
}

// guard makes the disruption budget, which goes with deleteKinds.
func guard(ctx context.Context, c kubernetes.Interface) error {
	none := intstr.FromInt32(0)
	_, err := c.PolicyV1().PodDisruptionBudgets(Namespace).Create(ctx, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: guarded},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: &none, Selector: &metav1.LabelSelector{MatchLabels: clusters.AppLabels(guarded)},
		},
	}, metav1.CreateOptions{})
	return err
}

// letsNoneGo fails until the controller manager has counted whom the budget guards.
func letsNoneGo(ctx context.Context, c kubernetes.Interface) error {
	budget, err := c.PolicyV1().PodDisruptionBudgets(Namespace).Get(ctx, guarded, metav1.GetOptions{})
	if err != nil {
		return err
	}
	s := budget.Status
	return Unless(s.CurrentHealthy == 2 && s.DesiredHealthy == 2 && s.DisruptionsAllowed == 0, fmt.Errorf("its status is %+v", s))
}

func deleteKinds(ctx context.Context, c kubernetes.Interface) error {
	foreground := metav1.DeletePropagationForeground
	errs := []error{c.PolicyV1().PodDisruptionBudgets(Namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})}
	for _, kind := range kinds {
		errs = append(errs, c.AppsV1().Deployments(Namespace).Delete(ctx, kind, metav1.DeleteOptions{PropagationPolicy: &foreground}))
	}
	return errors.Join(errs...)
}

// evictOne asks for the eviction of a ready replica, as a drain does.
func evictOne(kind string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Pods(Namespace).List(ctx, clusters.OfApp(kind))
		if err != nil {
			return err
		}
		for _, p := range list.Items {
			if p.DeletionTimestamp == nil && clusters.PodReady(&p) {
				return c.CoreV1().Pods(Namespace).EvictV1(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: p.Name}})
			}
		}
		return fmt.Errorf("none of %d replicas is ready", len(list.Items))
	}
}

// onEachWorker fails unless each worker has exactly one ready replica of each kind.
func onEachWorker(d *Drill, kinds []string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		for _, kind := range kinds {
			list, err := c.CoreV1().Pods(Namespace).List(ctx, clusters.OfApp(kind))
			if err != nil {
				return err
			}
			have := map[string]int{}
			for _, p := range list.Items {
				if clusters.PodReady(&p) {
					have[p.Spec.NodeName]++
				}
			}
			for _, n := range Workers(d.Nodes) {
				if have[n.Name] != 1 {
					return fmt.Errorf("of the kind %s %d ready replicas are on %s", kind, have[n.Name], n.Name)
				}
			}
		}
		return nil
	}
}

// only fails unless so many replicas of the kinds urgent, guarded and ordinary are ready, and all
// others of those that are wanted have no node. Those that are being deleted count no more.
func only(ready ...int) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		for n, kind := range kinds {
			if err := readyAndWaiting(ctx, c, kind, ready[n]); err != nil {
				return fmt.Errorf("of the kind %s %w", kind, err)
			}
		}
		return nil
	}
}

func readyAndWaiting(ctx context.Context, c kubernetes.Interface, kind string, want int) error {
	deployment, err := c.AppsV1().Deployments(Namespace).Get(ctx, kind, metav1.GetOptions{})
	if err != nil {
		return err
	}
	list, err := c.CoreV1().Pods(Namespace).List(ctx, clusters.OfApp(kind))
	if err != nil {
		return err
	}
	ready, waiting := 0, 0
	for _, p := range list.Items {
		switch {
		case p.DeletionTimestamp != nil:
		case clusters.PodReady(&p):
			ready++
		case p.Spec.NodeName == "":
			waiting++
		}
	}
	if replicas := int(*deployment.Spec.Replicas); ready != want || waiting != replicas-want {
		return fmt.Errorf("%d of %d replicas are ready and %d wait", ready, replicas, waiting)
	}
	return nil
}
