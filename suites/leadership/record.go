package leadership

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
)

// groups are the components that elect a leader.
var groups = []clusters.Component{clusters.Scheduler, clusters.ControllerManager}

// formerAnnotation held the leader of a group in the time of document B (B:L57).
const formerAnnotation = "control-plane.alpha.kubernetes.io/leader"

// identityPattern is what client-go's components call themselves.
var identityPattern = regexp.MustCompile(`^.+_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// refusedScript runs a second scheduler, which has to refuse the lock of document B's time
// before it does anything. The first line finds the container with the program.
const refusedScript = `id=$(crictl ps --quiet --name '^kube-scheduler$' | head -n 1)
timeout 20 crictl exec "$id" kube-scheduler --kubeconfig=/etc/kubernetes/scheduler.conf --secure-port=0 --leader-elect-resource-lock=endpoints 2>&1`

var _ = Describe("The record of a leader", Topology("single-host-minimal"), Core, func() {
	const topology = "single-host-minimal"

	It("is a Lease, and no longer an Endpoints object", Claims("LEAD-05"), func(ctx SpecContext) {
		d := On(ctx, topology)
		client := clientOf(d)
		for _, component := range groups {
			_, err := client.CoreV1().Endpoints("kube-system").Get(ctx, string(component), metav1.GetOptions{})
			Expect(d.Told(fmt.Sprintf("there are no Endpoints %s", component), Unless(apierrors.IsNotFound(err), err))).To(Succeed())
			_, err = client.CoordinationV1().Leases("kube-system").Get(ctx, string(component), metav1.GetOptions{})
			Expect(d.Told(fmt.Sprintf("there is a Lease %s", component), err)).To(Succeed())
		}
		node := d.Instances(clusters.Scheduler)[0].Node
		out, err := node.Exec(ctx, "sh", "-c", refusedScript)
		Expect(err).To(HaveOccurred(), "a scheduler that is told to lock Endpoints goes on: %s", out)
		Expect(d.Told("a scheduler that is told to lock Endpoints refuses to start", Unless(bytes.Contains(out, []byte("endpoints lock is removed")), fmt.Errorf("it says %s", out)))).To(Succeed())
		d.Drifted("leaders are kept in Leases since 1.20, and a component refuses to lock Endpoints since 1.24")
	})

	It("tells holder, duration, acquisition and renewal as it always did, in the Lease's own fields", Claims("LEAD-06"), func(ctx SpecContext) {
		d := On(ctx, topology)
		for _, component := range groups {
			lease := leaseOf(ctx, d, component)
			spec := lease.Spec
			Expect(lease.Annotations).NotTo(HaveKey(formerAnnotation))
			Expect(*spec.LeaseDurationSeconds).To(BeEquivalentTo(clusters.LeaseDuration.Seconds()))
			Expect(spec.AcquireTime).NotTo(BeNil())
			Expect(*spec.HolderIdentity).To(MatchRegexp(identityPattern.String()))
			Expect(d.Took(fmt.Sprintf("the lease of %s is renewed again", component), renewal(ctx, d, component),
				clusters.Bounds{Lower: clusters.RetryPeriod * 9 / 10, Upper: time.Duration(float64(clusters.RetryPeriod+time.Second) * d.Timing.Slack)})).To(Succeed())
		}
		d.Drifted("the fields are those of a Lease and no annotation, and a holder's name ends in a random part")
	})

	It("outlives every master", Claims("LEAD-08"), func(ctx SpecContext) {
		d := On(ctx, topology)
		before := map[clusters.Component]*coordinationv1.Lease{}
		for _, component := range groups {
			before[component] = leaseOf(ctx, d, component)
		}
		d.Inject(fault.Reboot(d.With(clusters.ControlPlane)...).Losing(clusters.Components...))

		for _, component := range groups {
			Expect(d.BecomesTrue(fmt.Sprintf("%s leads again by the same Lease", component), d.Timing.MastersReturn(), func(ctx context.Context, c kubernetes.Interface) error {
				lease, err := c.CoordinationV1().Leases("kube-system").Get(ctx, string(component), metav1.GetOptions{})
				if err != nil {
					return err
				}
				return succeeds(before[component], lease)
			})).To(Succeed())
		}
	})
})

// succeeds fails unless the second state of a lock is the first one's with one holder more.
func succeeds(before, now *coordinationv1.Lease) error {
	if now.UID != before.UID {
		return fmt.Errorf("it is another object, %s instead of %s", now.UID, before.UID)
	}
	if *now.Spec.HolderIdentity == *before.Spec.HolderIdentity || *now.Spec.LeaseTransitions != *before.Spec.LeaseTransitions+1 {
		return fmt.Errorf("%s holds it after %d transitions, before it was %s after %d",
			*now.Spec.HolderIdentity, *now.Spec.LeaseTransitions, *before.Spec.HolderIdentity, *before.Spec.LeaseTransitions)
	}
	return nil
}

func clientOf(d *Drill) kubernetes.Interface {
	GinkgoHelper()
	client, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	return client
}

func leaseOf(ctx context.Context, d *Drill, component clusters.Component) *coordinationv1.Lease {
	GinkgoHelper()
	lease, err := clientOf(d).CoordinationV1().Leases("kube-system").Get(ctx, string(component), metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	return lease
}

// renewal is the time between two renewals, by the holder's own clock.
func renewal(ctx context.Context, d *Drill, component clusters.Component) time.Duration {
	GinkgoHelper()
	next := func(after time.Time) (at time.Time) {
		Eventually(func() bool {
			at = leaseOf(ctx, d, component).Spec.RenewTime.Time
			return at.After(after)
		}).WithContext(ctx).WithTimeout(clusters.LeaseDuration).WithPolling(100 * time.Millisecond).Should(BeTrue())
		return at
	}
	first := next(leaseOf(ctx, d, component).Spec.RenewTime.Time)
	return next(first).Sub(first)
}
