package leadership

import (
	"context"
	"fmt"
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
	// rounds are how often they do. Each is two contests, to make it and to change it.
	rounds   = 20
	contests = 2 * rounds
)

// Document B: a lock is unique because its name, kind and namespace are (B:L50 to B:L52).
var _ = Describe("Of many who want one lock", Topology("three-host-stacked"), Core, func() {
	It("one gets it, through whichever API server, also while etcd elects", Claims("LEAD-07"), Component(clusters.Etcd), func(ctx SpecContext) {
		d := On(ctx, "three-host-stacked")
		clients := clientsOf(d)
		Expect(d.Told("one of many makes the lock, and one of many changes it", contest(ctx, clients, "calm", contests))).To(Succeed())

		d.Inject(fault.Kill(d.Leader(clusters.Etcd)))
		Expect(d.Told("so it is while etcd elects a leader", contest(ctx, clients, "election", contests/2))).To(Succeed())
	})
})

// clientsOf talk to one API server each.
func clientsOf(d *Drill) []kubernetes.Interface {
	GinkgoHelper()
	var all []kubernetes.Interface
	for _, e := range d.APIServers() {
		client, err := d.Client(e)
		Expect(err).NotTo(HaveOccurred())
		all = append(all, client)
	}
	return all
}

// contest has rivals make a lock and then change the same version of it, round after round.
// At least so many contests have to have a winner: the others may go unanswered.
func contest(ctx context.Context, clients []kubernetes.Interface, name string, least int) error {
	won := 0
	for round := range rounds {
		lock := fmt.Sprintf("rivals-%s-%d", name, round)
		for _, compete := range []func(context.Context, []kubernetes.Interface, string) (string, error){create, change} {
			winner, err := compete(ctx, clients, lock)
			if err != nil {
				return fmt.Errorf("%s: %w", lock, err)
			}
			if winner != "" {
				won++
			}
		}
	}
	if won < least {
		return fmt.Errorf("only %d of %d contests had a winner", won, contests)
	}
	return nil
}

// create has rivals make a lock, and returns who was told that it did.
func create(ctx context.Context, clients []kubernetes.Interface, lock string) (winner string, err error) {
	winner, err = contend(clients, apierrors.IsAlreadyExists, func(c kubernetes.Interface, rival string) error {
		_, err := c.CoordinationV1().Leases(Namespace).Create(ctx, lockOf(lock, rival), metav1.CreateOptions{})
		return err
	})
	if err == nil {
		err = holds(ctx, clients, lock, winner)
	}
	return winner, err
}

// changed is before the name of who changed the lock: to write what is there already is no
// change, and the API accepts it from anybody.
const changed = "changed-by-"

// change has rivals change the same version of a lock, returns who was told that it did, and
// deletes the lock.
func change(ctx context.Context, clients []kubernetes.Interface, lock string) (winner string, err error) {
	version, err := read(ctx, clients, lock)
	if err != nil {
		return "", err
	}
	winner, err = contend(clients, apierrors.IsConflict, func(c kubernetes.Interface, rival string) error {
		mine := version.DeepCopy()
		mine.Spec.HolderIdentity = new(changed + rival)
		_, err := c.CoordinationV1().Leases(Namespace).Update(ctx, mine, metav1.UpdateOptions{})
		return err
	})
	if err == nil && winner != "" {
		err = holds(ctx, clients, lock, changed+winner)
	}
	if err != nil {
		return "", err
	}
	return winner, anyOf(ctx, clients, func(c kubernetes.Interface) error {
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

// contend lets rivals try at once, through the API servers in turn, and returns who was
// told that it has won. Nobody may win beside another, and who lost has to be told so: only
// while the store elects may there be no answer, and then nobody may have won.
func contend(clients []kubernetes.Interface, lost func(error) bool, try func(c kubernetes.Interface, rival string) error) (winner string, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var winners []string
	unanswered := map[string]error{}
	for n := range rivals {
		wg.Go(func() {
			rival := fmt.Sprintf("rival-%d", n)
			err := try(clients[n%len(clients)], rival)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				winners = append(winners, rival)
			case !lost(err):
				unanswered[rival] = err
			}
		})
	}
	wg.Wait()
	switch {
	case len(winners) > 1:
		return "", fmt.Errorf("%v were all told that they won", winners)
	case len(winners) == 0 && len(unanswered) == 0:
		return "", fmt.Errorf("%d were all told that they lost", rivals)
	case len(winners) == 0:
		return "", nil
	}
	return winners[0], nil
}

// holds fails unless the lock is the winner's, where there is one. Without one it may be
// anybody's who got no answer.
func holds(ctx context.Context, clients []kubernetes.Interface, lock, winner string) error {
	if winner == "" {
		return nil
	}
	now, err := read(ctx, clients, lock)
	if err == nil && *now.Spec.HolderIdentity != winner {
		err = fmt.Errorf("%s was told that it won, and %s holds it", winner, *now.Spec.HolderIdentity)
	}
	return err
}

// read gets the lock from whichever API server answers first; a lock that nobody got an
// answer about may not exist, and is made.
func read(ctx context.Context, clients []kubernetes.Interface, lock string) (lease *coordinationv1.Lease, err error) {
	err = anyOf(ctx, clients, func(c kubernetes.Interface) error {
		leases := c.CoordinationV1().Leases(Namespace)
		if lease, err = leases.Get(ctx, lock, metav1.GetOptions{}); apierrors.IsNotFound(err) {
			lease, err = leases.Create(ctx, lockOf(lock, "nobody"), metav1.CreateOptions{})
		}
		return err
	})
	return lease, err
}

// answerTime is how long the store may take to answer while it elects, generously.
const answerTime = 30 * time.Second

// anyOf tries until it succeeds through one of the API servers.
func anyOf(ctx context.Context, clients []kubernetes.Interface, do func(kubernetes.Interface) error) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	turn := 0
	return clusters.Await(ctx, 50*time.Millisecond, "an answer from an API server", func(context.Context) error {
		turn++
		return do(clients[turn%len(clients)])
	})
}
