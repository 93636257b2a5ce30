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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
)

const (
	// rivals want the same lock at once.
	rivals = 10
	// rounds are how often they do while nothing is broken. Each is two contests, to make it and
	// to change it.
	rounds = 20
)

// Document B: a lock is unique because its name, kind and namespace are (B:L50 to B:L52).
var _ = Describe("Of many who want one lock", Topology("three-host-stacked"), Core, func() {
	It("one gets it, through whichever API server, also while etcd elects", Claims("LEAD-07"), Component(clusters.Etcd), func(ctx SpecContext) {
		d := On(ctx, "three-host-stacked")
		a := arenaOf(d)
		calm, err := a.contests(ctx, "calm", func(round int) bool { return round == rounds })
		Expect(d.Told("one of many makes the lock, and one of many changes it", err)).To(Succeed())
		Expect(d.Told("each of them is told whether it did", everybodyKnows(calm))).To(Succeed())

		rivalry := a.compete(ctx, "election")
		d.Inject(fault.Kill(d.Leader(clusters.Etcd)))
		Expect(d).To(ElectEtcdLeader().Within(d.Timing.EtcdElection()))
		fought, err := rivalry.end()
		Expect(d.Told("so it is while etcd elects a leader", err)).To(Succeed())
		Expect(d.Told("some contests are under way when there is none", someWithoutLeader(d, fought))).To(Succeed())
		Expect(d.Told("most have a winner all the same", mostAreWon(fought))).To(Succeed())
	})
})

// arena is where rivals compete.
type arena struct {
	// clients talk to one API server each.
	clients []kubernetes.Interface
	// answers is how long the store may take to answer while it elects.
	answers time.Duration
}

func arenaOf(d *Drill) arena {
	GinkgoHelper()
	a := arena{answers: d.Timing.QuorumReturn().Upper}
	for _, e := range d.APIServers() {
		client, err := d.Client(e)
		Expect(err).NotTo(HaveOccurred())
		a.clients = append(a.clients, client)
	}
	return a
}

// contest is one, and what became of it.
type contest struct {
	began, ended time.Time
	// winner was told that it won; empty where nobody was.
	winner string
	// unanswered is how many rivals got no answer.
	unanswered int
}

// everybodyKnows fails unless each contest has a winner, and everybody else was told.
func everybodyKnows(all []contest) error {
	for n, c := range all {
		if c.winner == "" || c.unanswered > 0 {
			return fmt.Errorf("contest %d of %d was won by %q, and %d of %d rivals had no answer", n+1, len(all), c.winner, c.unanswered, rivals)
		}
	}
	return nil
}

// mostAreWon fails unless at least half of the contests have a winner: the others may go
// unanswered.
func mostAreWon(all []contest) error {
	won := len(slices.DeleteFunc(slices.Clone(all), func(c contest) bool { return c.winner == "" }))
	return Unless(2*won >= len(all) && won > 0, fmt.Errorf("%d of %d contests had a winner", won, len(all)))
}

// someWithoutLeader fails unless a contest was under way while etcd had no leader.
func someWithoutLeader(d *Drill, all []contest) error {
	some := slices.ContainsFunc(all, func(c contest) bool { return d.WithoutEtcdLeader(c.began, c.ended) })
	return Unless(some, fmt.Errorf("none of %d was", len(all)))
}

// rivalry is contests that go on while something else happens.
type rivalry struct {
	stop, over chan struct{}
	fought     []contest
	err        error
}

// compete has rivals compete until the rivalry is ended.
func (a arena) compete(ctx context.Context, name string) *rivalry {
	r := &rivalry{stop: make(chan struct{}), over: make(chan struct{})}
	go func() {
		defer close(r.over)
		r.fought, r.err = a.contests(ctx, name, func(int) bool {
			select {
			case <-r.stop:
				return true
			default:
				return false
			}
		})
	}()
	return r
}

// end lets the present contests end, and returns all.
func (r *rivalry) end() ([]contest, error) {
	close(r.stop)
	<-r.over
	return r.fought, r.err
}

// contests has rivals make a lock and then change the same version of it, round after round,
// until it is enough.
func (a arena) contests(ctx context.Context, name string, enough func(round int) bool) ([]contest, error) {
	var all []contest
	for round := 0; !enough(round); round++ {
		lock := fmt.Sprintf("rivals-%s-%d", name, round)
		for _, compete := range []func(context.Context, string) (contest, error){a.create, a.change} {
			began := time.Now()
			c, err := compete(ctx, lock)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", lock, err)
			}
			c.began, c.ended = began, time.Now()
			all = append(all, c)
		}
	}
	return all, nil
}

// create has rivals make a lock.
func (a arena) create(ctx context.Context, lock string) (contest, error) {
	c, err := a.contend(apierrors.IsAlreadyExists, func(c kubernetes.Interface, rival string) error {
		_, err := c.CoordinationV1().Leases(Namespace).Create(ctx, lockOf(lock, rival), metav1.CreateOptions{})
		return err
	})
	if err == nil {
		err = a.holds(ctx, lock, c.winner)
	}
	return c, err
}

// changed is before the name of who changed the lock: to write what is there already is no
// change, and the API accepts it from anybody.
const changed = "changed-by-"

// change has rivals change the same version of a lock, and deletes it.
func (a arena) change(ctx context.Context, lock string) (contest, error) {
	version, err := a.read(ctx, lock)
	if err != nil {
		return contest{}, err
	}
	c, err := a.contend(apierrors.IsConflict, func(c kubernetes.Interface, rival string) error {
		mine := version.DeepCopy()
		mine.Spec.HolderIdentity = new(changed + rival)
		_, err := c.CoordinationV1().Leases(Namespace).Update(ctx, mine, metav1.UpdateOptions{})
		return err
	})
	if err == nil && c.winner != "" {
		err = a.holds(ctx, lock, changed+c.winner)
	}
	if err != nil {
		return contest{}, err
	}
	return c, a.anyOf(ctx, func(c kubernetes.Interface) error {
		err := c.CoordinationV1().Leases(Namespace).Delete(ctx, lock, metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
}

func lockOf(name, holder string) *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder}}
}

// contend lets rivals try at once, through the API servers in turn. Nobody may win beside
// another, and who lost has to be told so: only while the store elects may there be no answer,
// and then nobody may have won.
func (a arena) contend(lost func(error) bool, try func(c kubernetes.Interface, rival string) error) (contest, error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var winners []string
	unanswered := 0
	for n := range rivals {
		wg.Go(func() {
			rival := fmt.Sprintf("rival-%d", n)
			err := try(a.clients[n%len(a.clients)], rival)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				winners = append(winners, rival)
			case !lost(err):
				unanswered++
			}
		})
	}
	wg.Wait()
	switch {
	case len(winners) > 1:
		return contest{}, fmt.Errorf("%v were all told that they won", winners)
	case len(winners) == 0 && unanswered == 0:
		return contest{}, fmt.Errorf("%d were all told that they lost", rivals)
	case len(winners) == 0:
		return contest{unanswered: unanswered}, nil
	}
	return contest{winner: winners[0], unanswered: unanswered}, nil
}

// holds fails unless the lock is the winner's, where there is one. Without one it may be
// anybody's who got no answer.
func (a arena) holds(ctx context.Context, lock, winner string) error {
	if winner == "" {
		return nil
	}
	now, err := a.read(ctx, lock)
	if err == nil && *now.Spec.HolderIdentity != winner {
		err = fmt.Errorf("%s was told that it won, and %s holds it", winner, *now.Spec.HolderIdentity)
	}
	return err
}

// read gets the lock from whichever API server answers first; a lock that nobody got an
// answer about may not exist, and is made.
func (a arena) read(ctx context.Context, lock string) (lease *coordinationv1.Lease, err error) {
	err = a.anyOf(ctx, func(c kubernetes.Interface) error {
		leases := c.CoordinationV1().Leases(Namespace)
		if lease, err = leases.Get(ctx, lock, metav1.GetOptions{}); apierrors.IsNotFound(err) {
			lease, err = leases.Create(ctx, lockOf(lock, "nobody"), metav1.CreateOptions{})
		}
		return err
	})
	return lease, err
}

// anyOf tries until it succeeds through one of the API servers.
func (a arena) anyOf(ctx context.Context, do func(kubernetes.Interface) error) error {
	ctx, cancel := context.WithTimeout(ctx, a.answers)
	defer cancel()
	turn := 0
	return clusters.Await(ctx, 50*time.Millisecond, "an answer from an API server", func(context.Context) error {
		turn++
		return do(a.clients[turn%len(a.clients)])
	})
}
