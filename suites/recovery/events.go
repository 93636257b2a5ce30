package recovery

import (
	"context"
	"errors"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: what keeps its state elsewhere, in an etcd of its own, say, needs a backup of its own
// (A:L101-102). The layout that has no other etcd is the control experiment.
var _ = Describe("A backup of the cluster's etcd", Nightly, Runbook, Component(clusters.Etcd), func() {
	DescribeTable("brings objects back when everything is lost, and their Events", Claims("DR-07"),
		func(ctx SpecContext, topology string, apart bool) {
			restoreWithoutTheirEtcd(ctx, On(ctx, topology), apart)
		},
		Entry("not, where these are in another etcd", Topology("events-etcd"), "events-etcd", true),
		Entry("too, where there is no other etcd", Topology("single-master"), "single-master", false),
	)
})

// restoreWithoutTheirEtcd loses the master and, where Events have an etcd apart, what that stores.
func restoreWithoutTheirEtcd(ctx context.Context, d *Drill, apart bool) {
	GinkgoHelper()
	master := d.With(clusters.ControlPlane)[0]
	d.Afterwards(takeAwayNeighbours)
	d.Afterwards(takeAwayEvents)
	Expect(d.Attempt("create an object before the backup", create(kept))).To(BeAccepted())
	Expect(d.Attempt("create an Event of it", createEvent(kept))).To(BeAccepted())
	b, err := takeBackup(ctx, master)
	Expect(d.Told("a backup is taken", err)).To(Succeed())
	Expect(d.Attempt("create an Event after the backup", createEvent(forgotten))).To(BeAccepted())

	if apart {
		By("losing the etcd of Events")
		// It must not come back by itself while the master is restored.
		d.Inject(fault.WipeData(d.EventsMembers()[0]).Losing(clusters.Etcd).WithTTL(2 * d.Timing.RestoredInAll().Upper))
		Expect(d.BecomesTrue("the Event of before the backup is lost", d.Timing.MemberReturn(), eventExists(kept, false))).To(Succeed())
		Expect(d.BecomesTrue("the object is not", d.Timing.Noticed(), exists(kept, true))).To(Succeed())
	}
	By("losing the master, and restoring it")
	d.Then(fault.Erase(master).Losing(clusters.Components...))
	Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
	restoreFrom(ctx, d, b, master)
	Expect(d.BecomesTrue("the object is there", d.Timing.Noticed(), exists(kept, true))).To(Succeed())
	if apart {
		Expect(d.StaysTrue("its Event is not", eventExists(kept, false))).To(Succeed())
	} else {
		Expect(d.BecomesTrue("its Event is there", d.Timing.Noticed(), eventExists(kept, true))).To(Succeed())
	}
	Expect(d.BecomesTrue("the Event of after the backup is not", d.Timing.Noticed(), eventExists(forgotten, false))).To(Succeed())

	if apart {
		By("putting back what the etcd of Events had stored")
		d.EndsHere() // its revisions go back, which nobody is told
		d.Undo()
		d.AwaitHealed()
		for _, name := range []string{kept, forgotten} {
			Expect(d.BecomesTrue("with its own data it has the Event "+name, d.Timing.MemberReturn(), eventExists(name, true))).To(Succeed())
		}
	}
	isWhole(d)
}

func createEvent(name string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		event := &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Name: name},
			InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: Namespace, Name: kept},
			Reason:         "Attempted", Message: "an experiment has created it", Type: corev1.EventTypeNormal,
		}
		_, err := c.CoreV1().Events(Namespace).Create(ctx, event, metav1.CreateOptions{})
		return err
	}
}

// takeAwayEvents minds nothing that is missing.
func takeAwayEvents(ctx context.Context, c kubernetes.Interface) error {
	var errs []error
	for _, name := range []string{kept, forgotten} {
		if err := c.CoreV1().Events(Namespace).Delete(ctx, name, metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// eventExists fails unless the Event is there, or is not.
func eventExists(name string, want bool) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		_, err := c.CoreV1().Events(Namespace).Get(ctx, name, metav1.GetOptions{})
		return isThere(err, want)
	}
}
