package leadership

import (
	"context"
	"errors"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// patience is how much longer than its bound a measured time is waited for.
const patience = 5 * time.Second

// within is what formulas over the electors' settings allow.
func within(d *Drill, lower, upper time.Duration) clusters.Bounds {
	return clusters.Bounds{Lower: lower, Upper: time.Duration(float64(upper) * d.Timing.Slack)}
}

// Document B gives the rules of the lock (B:L36 to B:L45). They are client-go's, so they are
// tested on electors of this process, which can be started, ended and robbed at will.
var _ = Describe("The lock of a group", Topology("single-host-minimal"), Core, func() {
	const topology = "single-host-minimal"

	It("is taken only where there is none, or it has run out, or it was released", Claims("LEAD-03"), func(ctx SpecContext) {
		d := On(ctx, topology)
		g := newGroup(ctx, d, "acquire")
		atOnce := within(d, 0, followerRetry)
		takeover := within(d, leaseDuration-retryPeriod-unseen, leaseDuration+followerRetry)

		began := time.Now()
		first := g.join("first", crashes)
		Expect(d.Took("a member takes a lock that does not exist", first.awaitAct(began, atOnce.Upper+patience).Sub(began), atOnce)).To(Succeed())

		second := g.join("second", releases)
		Consistently(func() int { return second.actsSince(began) }).WithContext(ctx).WithTimeout(2*leaseDuration).Should(BeZero(), "its holder renews it")

		halted := time.Now()
		first.end()
		Expect(d.Took("a follower takes the lock of a holder that crashed",
			second.awaitAct(halted, takeover.Upper+patience).Sub(halted), takeover)).To(Succeed())

		began = time.Now()
		third := g.join("third", crashes)
		Consistently(func() int { return third.actsSince(began) }).WithContext(ctx).WithTimeout(followerRetry).Should(BeZero(), "it sees the lock held")
		halted = time.Now()
		second.end()
		Expect(d.Took("a follower takes a lock that was released",
			third.awaitAct(halted, atOnce.Upper+patience).Sub(halted), atOnce)).To(Succeed())

		third.end()
		g.change(func(spec *coordinationv1.LeaseSpec) { spec.RenewTime = hoursAgo() })
		began = time.Now()
		newcomer := g.join("newcomer", crashes)
		Expect(d.Took("a newcomer waits out even a lock that ran out hours ago",
			newcomer.awaitAct(began, takeover.Upper+patience).Sub(began), within(d, leaseDuration, leaseDuration+followerRetry))).To(Succeed())
	})

	It("is renewed by its holder even when it is gone or has run out, and not when another holds it", Claims("LEAD-04"), func(ctx SpecContext) {
		d := On(ctx, topology)
		g := newGroup(ctx, d, "renew")
		soon := within(d, 0, 2*retryPeriod)
		holder := g.succeed("former", "holder", within(d, 0, followerRetry).Upper+patience)

		before := g.lease()
		Expect(*before.Spec.LeaseTransitions).To(BeEquivalentTo(1))
		Expect(g.leases().Delete(ctx, g.lock, metav1.DeleteOptions{})).To(Succeed())
		Expect(d.Told("the holder makes a deleted lock again, and still knows how often it had changed hands", g.becomes(soon.Upper, func(l *coordinationv1.Lease) bool {
			return l.UID != before.UID && *l.Spec.HolderIdentity == "holder" && *l.Spec.LeaseTransitions == *before.Spec.LeaseTransitions
		}))).To(Succeed())

		g.change(func(spec *coordinationv1.LeaseSpec) { spec.RenewTime = hoursAgo() })
		Expect(d.Told("the holder renews a lock that says that it was renewed hours ago", g.becomes(soon.Upper, func(l *coordinationv1.Lease) bool {
			return *l.Spec.HolderIdentity == "holder" && l.Spec.RenewTime.After(time.Now().Add(-leaseDuration))
		}))).To(Succeed())

		slow := newGroup(ctx, d, "renew-late")
		began := time.Now()
		slow.joinAt(late, "holder", crashes).awaitAct(began, soon.Upper+patience)
		Expect(d.Told("a holder that is late renews a lock that has run out", slow.renewedLate(within(d, 0, 3*late.retry).Upper))).To(Succeed())

		stolen := g.steal("thief")
		gaveUp := within(d, renewDeadline-retryPeriod, renewDeadline+retryPeriod)
		Expect(d.Took("a holder that was robbed acts on until its deadline",
			holder.awaitEnd(gaveUp.Upper+patience).Sub(stolen), gaveUp)).To(Succeed())
		Expect(*g.lease().Spec.HolderIdentity).To(Equal("thief"))
		d.Drifted("client-go asks neither that the lock exists nor that it has not run out, only that nobody else holds it")
	})

	It("does not keep two from acting when it is stolen, and nothing fences the robbed one", Claims("SPLIT-02", "SPLIT-03"), func(ctx SpecContext) {
		d := On(ctx, topology)
		g := newGroup(ctx, d, "steal")
		began := time.Now()
		robbed := g.join("robbed", crashes)
		robbed.awaitAct(began, within(d, 0, followerRetry).Upper+patience)
		thief := g.join("thief", crashes)

		stolen := g.steal("thief")
		atOnce := within(d, 0, followerRetry)
		first := thief.awaitAct(stolen, atOnce.Upper+patience)
		Expect(d.Took("the thief acts", first.Sub(stolen), atOnce)).To(Succeed())
		Expect(d.Told("an update from before another's is refused, whoever leads", g.staleUpdate())).To(Succeed())

		deadline := renewDeadline + retryPeriod
		last := robbed.awaitEnd(within(d, 0, deadline).Upper + patience)
		Expect(d.Took("both act", last.Sub(first), within(d, 1, deadline))).To(Succeed())
		Expect(d.Told("the API accepts what the robbed one does", Unless(robbed.actsSince(first) > 0, nil))).To(Succeed())

		alone := thief.awaitAct(time.Now(), patience)
		Expect(d.StaysTrue("one leads in the end: nothing more comes of the robbed one", robbed.rests())).To(Succeed())
		Expect(d.Told("and the thief acts on", Unless(thief.actsSince(alone) > 0, nil))).To(Succeed())
		d.Drifted("with the lock stolen, both act until the deadline of the robbed one")
	})
})

// hoursAgo is a time that no lock survives.
func hoursAgo() *metav1.MicroTime {
	t := metav1.NewMicroTime(time.Now().Add(-2 * time.Hour))
	return &t
}

// succeed has one member take the lock from another, which releases it, and returns that one.
func (g group) succeed(former, next string, limit time.Duration) *elector {
	GinkgoHelper()
	began := time.Now()
	first := g.join(former, releases)
	first.awaitAct(began, limit)
	second := g.join(next, crashes)
	left := time.Now()
	first.end()
	second.awaitAct(left, limit)
	return second
}

// renewedLate waits until the holder has renewed its lock when that had run out, and goes on to
// hold it without having acquired it anew.
func (g group) renewedLate(limit time.Duration) error {
	GinkgoHelper()
	first := g.lease()
	last := first
	return g.becomes(limit, func(l *coordinationv1.Lease) bool {
		pause := l.Spec.RenewTime.Sub(last.Spec.RenewTime.Time)
		last = l
		return pause > time.Duration(*l.Spec.LeaseDurationSeconds)*time.Second &&
			*l.Spec.HolderIdentity == *first.Spec.HolderIdentity && l.Spec.AcquireTime.Equal(first.Spec.AcquireTime)
	})
}

// rests fails when the object of a member has another version than at the first look: whoever
// acted, the API server has accepted it.
func (e *elector) rests() Request {
	version := ""
	return func(ctx context.Context, c kubernetes.Interface) error {
		object, err := c.CoreV1().ConfigMaps(Namespace).Get(ctx, e.object(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		if version == "" {
			version = object.ResourceVersion
		}
		return Unless(object.ResourceVersion == version, fmt.Errorf("its object had version %s and has %s", version, object.ResourceVersion))
	}
}

// steal makes somebody else the holder, and returns when the API had accepted that.
func (g group) steal(thief string) time.Time {
	GinkgoHelper()
	return g.change(func(spec *coordinationv1.LeaseSpec) {
		now := metav1.NowMicro()
		spec.HolderIdentity, spec.RenewTime = &thief, &now
	})
}

// becomes waits until the lock is as it should be.
func (g group) becomes(limit time.Duration, is func(*coordinationv1.Lease) bool) error {
	ctx, cancel := context.WithTimeout(g.ctx, limit)
	defer cancel()
	return clusters.Await(ctx, 20*time.Millisecond, "the lock "+g.lock, func(ctx context.Context) error {
		lease, err := g.leases().Get(ctx, g.lock, metav1.GetOptions{})
		if err == nil && !is(lease) {
			err = fmt.Errorf("it is %+v", lease.Spec)
		}
		return err
	})
}

// staleUpdate fails unless an update from an old version is refused as a conflict.
func (g group) staleUpdate() error {
	ctx, cancel := context.WithTimeout(g.ctx, patience)
	defer cancel()
	objects := g.client.CoreV1().ConfigMaps(Namespace)
	old, err := objects.Get(ctx, g.lock+"-thief", metav1.GetOptions{})
	if err != nil {
		return err
	}
	err = clusters.Await(ctx, actPause, "the thief's next act", func(ctx context.Context) error {
		now, err := objects.Get(ctx, old.Name, metav1.GetOptions{})
		if err == nil && now.ResourceVersion == old.ResourceVersion {
			err = errors.New("nothing has changed")
		}
		return err
	})
	if err != nil {
		return err
	}
	old.Data = map[string]string{"act": "stale"}
	switch _, err = objects.Update(ctx, old, metav1.UpdateOptions{}); {
	case apierrors.IsConflict(err):
		return nil
	case err == nil:
		err = errors.New("it was accepted")
	}
	return err
}
