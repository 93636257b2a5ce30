package leadership

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
)

// WithoutElection lets every instance of a component act, as when somebody has switched
// leader election off.
func WithoutElection(d *Drill, component clusters.Component) fault.Fault {
	return fault.SetFlag("--leader-elect=false", d.Instances(component)...).Losing(component)
}

const (
	// crowd is how many pods several schedulers place at once.
	crowd = 50
	// crowdLabel marks them, and crowdName is before their numbers.
	crowdLabel = "faultline-crowd"
	crowdName  = "crowd-"
	// wanted is how many replicas several controller managers look after.
	wanted = 8
)

// Document B: Kubernetes has no measures against two leaders; it relies on converging to
// the desired state (B:L66).
var _ = Describe("Without leader election among three masters", Topology("three-host-stacked"), Core, func() {
	const topology = "three-host-stacked"

	It("several schedulers act, and each pod is placed once", Claims("SPLIT-05"), Component(clusters.Scheduler), func(ctx SpecContext) {
		d := On(ctx, topology)
		d.Inject(WithoutElection(d, clusters.Scheduler))

		began := time.Now()
		Expect(d.BecomesTrue("many pods are made", d.Timing.Binding(), createCrowd)).To(Succeed())
		Expect(d.BecomesTrue("each of them has a node", d.Timing.Binding(), crowdIsPlaced)).To(Succeed())
		Expect(d.SeveralAct(clusters.Scheduler, began, "pods")).To(Succeed())
		Expect(d.Told("no pod was placed twice", placedOnce(ctx, d, began))).To(Succeed())
	})

	It("several controller managers act, and the replicas are as many as wanted in the end", Claims("SPLIT-04"), Component(clusters.ControllerManager), func(ctx SpecContext) {
		d := On(ctx, topology)
		d.Afterwards(ScaleTo(1))
		d.Inject(WithoutElection(d, clusters.ControllerManager))

		began := time.Now()
		old, managers := 1, len(d.Instances(clusters.ControllerManager))
		for _, replicas := range []int{wanted, 1, 1, wanted} {
			Expect(d.Attempt(fmt.Sprintf("scale to %d", replicas), ScaleTo(replicas))).To(BeAccepted())
			Expect(d.Attempt("delete its pods", deleteReplicas)).To(BeAccepted())
			most := wantedByAll(managers, old, replicas)
			Expect(d.StaysTrue(fmt.Sprintf("there are at most %d pods, as many as all of them together want", most), atMost(most))).To(Succeed())
			old = replicas
		}
		Expect(d.SeveralAct(clusters.ControllerManager, began, "pods", "replicasets")).To(Succeed())

		d.Undo()
		d.AwaitHealed()
		Expect(d.BecomesTrue("there are as many replicas as wanted, all ready", d.Timing.ControlPlaneReturn(d.Outage()), allWanted)).To(Succeed())
		Expect(d).To(HaveOneActor(clusters.ControllerManager))
		Expect(d.StaysTrue("there are as many replicas as wanted, all ready", allWanted)).To(Succeed())
	})
})

// wantedByAll is how many replicas so many controller managers want together, each of which acts
// alone: one that does not know of the new size yet goes by the old one.
func wantedByAll(managers, old, replicas int) int { return managers * max(old, replicas) }

// createCrowd makes pods that nothing has to run for, as far as there are none.
func createCrowd(ctx context.Context, c kubernetes.Interface) error {
	for n := range crowd {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s%d", crowdName, n), Labels: map[string]string{crowdLabel: ""}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{IdleContainer()}},
		}
		if _, err := c.CoreV1().Pods(Namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return nil
}

func crowdIsPlaced(ctx context.Context, c kubernetes.Interface) error {
	list, err := c.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{LabelSelector: crowdLabel})
	if err == nil && len(list.Items) != crowd {
		err = fmt.Errorf("there are %d pods", len(list.Items))
	}
	if err != nil {
		return err
	}
	for _, p := range list.Items {
		if p.Spec.NodeName == "" {
			return fmt.Errorf("pod %s has no node", p.Name)
		}
	}
	return nil
}

// placedOnce fails when the API has accepted two places for one pod, by the audit logs.
func placedOnce(ctx context.Context, d *Drill, since time.Time) error {
	var all []clusters.Action
	for _, n := range d.With(clusters.ControlPlane) {
		actions, err := n.Actions(ctx, since)
		if err != nil {
			return err
		}
		all = append(all, actions...)
	}
	placed, refused, err := placements(all)
	if err == nil && placed < crowd {
		err = fmt.Errorf("the audit logs know of %d placed pods only", placed)
	}
	if err != nil {
		return err
	}
	return d.Told("the API refuses a place for a pod that has one", Unless(refused > 0, fmt.Errorf("%d were refused", refused)))
}

// placements counts the pods of the crowd that the API has accepted a place for, and the places
// that it has refused because a pod had one (409); that one pod has two is an error. A pod is its
// UID: a busy API may carry a request out after its client has given up, and make a pod again that
// has been placed and deleted since.
func placements(actions []clusters.Action) (placed, refused int, err error) {
	accepted := map[string]bool{}
	for _, a := range actions {
		switch {
		case a.Subresource != "binding" || !strings.HasPrefix(a.Name, crowdName):
		case a.Code == http.StatusConflict:
			refused++
		case a.Code >= http.StatusMultipleChoices:
		case accepted[a.UID]:
			return 0, 0, fmt.Errorf("pod %s (UID %q) was placed twice", a.Name, a.UID)
		default:
			accepted[a.UID] = true
		}
	}
	return len(accepted), refused, nil
}

func deleteReplicas(ctx context.Context, c kubernetes.Interface) error {
	now := int64(0)
	return c.CoreV1().Pods(Namespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, OfDeployment)
}

// atMost fails when there are more replicas, whose end has not begun, than that.
func atMost(most int) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Pods(Namespace).List(ctx, OfDeployment)
		if err != nil {
			return err
		}
		live := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
		if len(live) > most {
			return fmt.Errorf("there are %d", len(live))
		}
		return nil
	}
}

func allWanted(ctx context.Context, c kubernetes.Interface) error {
	return errors.Join(ReplicasReady(wanted)(ctx, c), ReplicasExist(wanted)(ctx, c))
}
