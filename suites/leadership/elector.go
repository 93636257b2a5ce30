package leadership

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// The settings of the electors: those of the control plane's components (15 s, 10 s, 2 s)
// times 0.4, so that their proportions stay and nobody waits longer than for the mechanism.
const (
	leaseDuration = clusters.LeaseDuration * 2 / 5
	renewDeadline = clusters.RenewDeadline * 2 / 5
	retryPeriod   = clusters.RetryPeriod * 2 / 5
	followerRetry = clusters.FollowerRetry * 2 / 5
)

// unseen is by how much a lock may look older than it is. Followers compare what they read in
// whole seconds: the latter of two renewals within one second is none to them. Components of
// the control plane renew once in two.
const unseen = retryPeriod

// pace is how a member keeps the lock.
type pace struct{ lease, deadline, retry time.Duration }

var (
	usual = pace{leaseDuration, renewDeadline, retryPeriod}
	// late renews the lock when it has run out: a Lease tells its duration in whole seconds,
	// and client-go leaves out the rest.
	late = pace{1900 * time.Millisecond, 1850 * time.Millisecond, 1500 * time.Millisecond}
)

// actPause is the time between two acts of a leader.
const actPause = 50 * time.Millisecond

// group is several members, in this process, that elect a leader by one Lease with
// client-go, as the components of the control plane do.
type group struct {
	ctx    context.Context
	d      *Drill
	client kubernetes.Interface
	lock   string
}

// newGroup is a group without members and without a Lease. It ends with the spec.
func newGroup(ctx SpecContext, d *Drill, lock string) group {
	GinkgoHelper()
	client, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	g := group{ctx, d, client, lock}
	DeferCleanup(func(ctx SpecContext) {
		if err := g.leases().Delete(ctx, lock, metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
			Expect(err).NotTo(HaveOccurred())
		}
	})
	return g
}

func (g group) leases() coordinationclient.LeaseInterface {
	return g.client.CoordinationV1().Leases(Namespace)
}

// lease is the lock now.
func (g group) lease() *coordinationv1.Lease {
	GinkgoHelper()
	lease, err := g.leases().Get(g.ctx, g.lock, metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	return lease
}

// change overwrites the lock, whoever holds it, and returns when that was acknowledged.
func (g group) change(how func(*coordinationv1.LeaseSpec)) time.Time {
	GinkgoHelper()
	Expect(retry.RetryOnConflict(retry.DefaultRetry, func() error {
		lease, err := g.leases().Get(g.ctx, g.lock, metav1.GetOptions{})
		if err != nil {
			return err
		}
		how(&lease.Spec)
		_, err = g.leases().Update(g.ctx, lease, metav1.UpdateOptions{})
		return err
	})).To(Succeed())
	return time.Now()
}

// elector is one member. While it believes that it leads, it acts: it changes an object
// that is its own, as fast as actPause lets it.
type elector struct {
	group
	identity string
	end      context.CancelFunc
	ended    chan struct{}
	endedAt  time.Time // known once ended is closed

	mu   sync.Mutex
	acts []time.Time // when the API had accepted them
}

// ending is what a member does with the lock when it ends.
type ending bool

const (
	crashes  ending = false
	releases ending = true
)

// join starts a member.
func (g group) join(identity string, how ending) *elector {
	GinkgoHelper()
	return g.joinAt(usual, identity, how)
}

func (g group) joinAt(p pace, identity string, how ending) *elector {
	GinkgoHelper()
	e := &elector{group: g, identity: identity, ended: make(chan struct{})}
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: e.object()}}
	_, err := g.client.CoreV1().ConfigMaps(Namespace).Create(g.ctx, object, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	member, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Name: g.lock,
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: Namespace, Name: g.lock},
			Client:     g.client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
		},
		LeaseDuration: p.lease, RenewDeadline: p.deadline, RetryPeriod: p.retry,
		ReleaseOnCancel: bool(how),
		Callbacks:       leaderelection.LeaderCallbacks{OnStartedLeading: e.lead, OnStoppedLeading: func() {}},
	})
	Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(klog.NewContext(g.ctx, klog.Logger{}))
	e.end = cancel
	go func() {
		defer close(e.ended)
		member.Run(ctx)
		e.endedAt = time.Now()
	}()
	DeferCleanup(func(ctx SpecContext) {
		cancel()
		<-e.ended
		Expect(g.client.CoreV1().ConfigMaps(Namespace).Delete(ctx, e.object(), metav1.DeleteOptions{})).To(Succeed())
	})
	return e
}

func (e *elector) object() string { return e.lock + "-" + e.identity }

// lead acts until the member knows that it leads no more.
func (e *elector) lead(ctx context.Context) {
	tick := time.NewTicker(actPause)
	defer tick.Stop()
	for n := 0; ; n++ {
		patch := fmt.Appendf(nil, `{"data":{"act":"%d"}}`, n)
		_, err := e.client.CoreV1().ConfigMaps(Namespace).Patch(ctx, e.object(), types.MergePatchType, patch, metav1.PatchOptions{})
		if err == nil {
			e.mu.Lock()
			e.acts = append(e.acts, time.Now())
			e.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// actsSince counts what it did after an instant.
func (e *elector) actsSince(since time.Time) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.acts) - e.firstAfter(since)
}

// firstAfter is the index of the first act after an instant. The caller holds the lock.
func (e *elector) firstAfter(since time.Time) int {
	n, _ := slices.BinarySearchFunc(e.acts, since, time.Time.Compare)
	return n
}

// awaitAct waits for the first act after an instant, and returns when it was.
func (e *elector) awaitAct(since time.Time, limit time.Duration) time.Time {
	GinkgoHelper()
	Eventually(func() int { return e.actsSince(since) }).WithContext(e.ctx).WithTimeout(limit).WithPolling(10*time.Millisecond).
		Should(BeNumerically(">", 0), "%s never led", e.identity)
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.acts[e.firstAfter(since)]
}

// awaitEnd waits until the member has given up, and returns when it acted last.
func (e *elector) awaitEnd(limit time.Duration) time.Time {
	GinkgoHelper()
	Eventually(e.ended).WithContext(e.ctx).WithTimeout(limit).Should(BeClosed(), "%s never gave up", e.identity)
	e.mu.Lock()
	defer e.mu.Unlock()
	Expect(e.acts).NotTo(BeEmpty(), "%s never led", e.identity)
	return e.acts[len(e.acts)-1]
}
