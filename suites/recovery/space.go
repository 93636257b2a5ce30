package recovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: etcd's disk has to be large enough (A:L41). Its quota is reached sooner, and more
// members do not help.
var _ = Describe("An etcd that revisions of one object have filled", Topology("three-host-stacked"), Nightly, Runbook, Component(clusters.Etcd), func() {
	It("takes writes again when it has forgotten the old ones", Claims("ETCD-24"), func(ctx SpecContext) {
		d := On(ctx, "three-host-stacked")
		master := d.With(clusters.ControlPlane)[0]
		Expect(d.Told("the runbook leaves an etcd with space alone", refusesOn(ctx, master, reclaimScript, "no member is out of space"))).To(Succeed())
		Expect(d.Attempt("create an object", create(filling))).To(BeAccepted())
		d.Inject(fault.SetFlag(fmt.Sprintf("--quota-backend-bytes=%d", smallQuota), d.EtcdMembers()...).Losing(clusters.Etcd))
		Expect(d).To(Resume(probe.Write).Within(d.Timing.ControlPlaneReturn(d.Outage())))

		Expect(d.BecomesTrue("the object is overwritten until etcd refuses another revision", d.Timing.NodeReturn(), refusedForSpace)).To(Succeed())
		Expect(d.StaysTrue("nobody can write", refusedForSpace)).To(Succeed())
		Expect(d.StaysTrue("everybody can read", exists(filling, true))).To(Succeed())
		d.BeginRepair()
		carryOut(d, "the runbook reclaims the space", "etcd takes writes again", d.Timing.Restored(),
			func() (string, error) { return run(ctx, master, reclaimScript) })
		Expect(d.BecomesTrue("one can write", d.Timing.Noticed(), remove(filling))).To(Succeed())

		d.Undo()
		for _, name := range []probe.Name{probe.Write, probe.Schedule, probe.Reconcile} {
			Expect(d).To(Resume(name).Within(d.Timing.ControlPlaneReturn(d.Outage())))
		}
		recovered(d)
	})
})

const (
	// filling is the object that is overwritten.
	filling = "attempt-filling"
	// smallQuota is far below the 2 GiB of etcd's default, and far above what a cluster needs.
	smallQuota = 32 << 20
	// revisionSize is nearly as large as a configmap may be.
	revisionSize = 900 << 10
)

// refusedForSpace overwrites the object, and fails unless etcd has no space for that.
func refusedForSpace(ctx context.Context, c kubernetes.Interface) error {
	object := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: filling},
		Data:       map[string]string{"now": fmt.Sprintf("%0*d", revisionSize, time.Now().UnixNano())},
	}
	_, err := c.CoreV1().ConfigMaps(Namespace).Update(ctx, object, metav1.UpdateOptions{})
	if err == nil {
		return errors.New("it was overwritten once more")
	}
	return Unless(strings.Contains(err.Error(), "database space exceeded"), err)
}
