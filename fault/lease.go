package fault

import (
	"context"
	"fmt"
	"strconv"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"faultline/clusters"
)

// The faults on leases.
const (
	KindStealLease  Kind = "steal-lease"
	KindDeleteLease Kind = "delete-lease"
)

var leaseEntries = []Entry{
	{KindStealLease, "lease", "schedulers and controller managers", "",
		"the stranger releases the lease", "the lease names the stranger, and the leader has ended"},
	{KindDeleteLease, "lease", "schedulers and controller managers", "",
		"none: a candidate creates another one", "the lease is gone or another one"},
}

const (
	// stealLanding covers the renew deadline of 10 s, after which a leader ends.
	stealLanding = 30 * time.Second
	// freshLease is how old the lease of a leader that lives may be.
	freshLease = 3 * clusters.RetryPeriod
	// deleteLanding covers an API that is busy.
	deleteLanding = 10 * time.Second
)

// StealLease gives the lease of the schedulers or controller managers to a stranger who
// does nothing else: nobody leads. Candidates take a lease over when they have not seen
// it change for the duration that the lease itself names. So one write with a duration
// longer than any TTL holds it, and nobody has to renew it. The leader cannot renew any
// more, ends its process after the renew deadline of 10 s, and becomes a candidate.
//
// Proof: the lease names the stranger, and the leader's process has ended. Undo: the
// stranger releases the lease as client-go does, if it is still the stranger's, by the
// API server of the node where it was stolen. Healed: an instance of the cluster
// holds the lease and renews it.
func StealLease(c *clusters.Cluster, component clusters.Component) Fault {
	return onLease(KindStealLease, c, component, func(ctx context.Context, id string, _ *coordinationv1.Lease) (effect, error) {
		stranger := "faultline-" + id
		leader, err := c.Leader(ctx, component)
		if err != nil {
			return effect{}, err
		}
		old, err := running(ctx, leader)
		if err != nil {
			return effect{}, err
		}
		return effect{
			inject: command(stealScript, id, string(component), stranger, strconv.Itoa(int(2*maxTTL/time.Second))),
			undo:   command(releaseLeaseScript, id, string(component), stranger),
			prove: func(ctx context.Context) (string, error) {
				holder, err := c.LeaseHolder(ctx, component)
				if err != nil {
					return "", err
				}
				if holder != stranger {
					return "", fmt.Errorf("the lease of %s is held by %q, want %q", component, holder, stranger)
				}
				gone, err := proveGone(ctx, leader, old)
				return fmt.Sprintf("the lease of %s is held by %s, and %s", component, stranger, gone), err
			},
			landing: stealLanding,
		}, nil
	}, c.Instances(component)...)
}

// DeleteLease deletes the lease of the schedulers or controller managers once. The next
// candidate that looks, within 2 s, creates another one: if that is not the leader, two
// lead until the old one has not been able to renew for 10 s.
//
// Proof: the lease is gone, or it is another one. Undo: nothing is left to undo. Healed:
// an instance of the cluster holds the new lease and renews it.
func DeleteLease(c *clusters.Cluster, component clusters.Component) Fault {
	return onLease(KindDeleteLease, c, component, func(_ context.Context, _ string, old *coordinationv1.Lease) (effect, error) {
		return effect{
			inject: command(deleteLeaseScript, string(component), string(old.UID)),
			prove: func(ctx context.Context) (string, error) {
				now, err := leaseOf(ctx, c, component)
				if apierrors.IsNotFound(err) {
					return fmt.Sprintf("the lease of %s is gone", component), nil
				}
				if err != nil {
					return "", err
				}
				if now.UID == old.UID {
					return "", fmt.Errorf("the lease of %s is still there", component)
				}
				return fmt.Sprintf("the lease of %s was deleted, and %s created another one", component, *now.Spec.HolderIdentity), nil
			},
			landing: deleteLanding,
		}, nil
	})
}

// onLease is a fault on the lease of an elected component, which needs the node of an API server.
func onLease(kind Kind, c *clusters.Cluster, component clusters.Component,
	plan func(context.Context, string, *coordinationv1.Lease) (effect, error), taken ...clusters.Instance) Fault {
	p := part{kind: kind, target: "the lease of " + string(component), node: administrator(c), takes: exactly(taken...)}
	p.plan = func(ctx context.Context, id string) (effect, error) {
		if !component.Elected() {
			return effect{}, fmt.Errorf("%s has no lease: all its instances are active", component)
		}
		lease, err := leaseOf(ctx, c, component)
		if err != nil {
			return effect{}, fmt.Errorf("read the lease of %s: %w", component, err)
		}
		if _, err := c.Leader(ctx, component); err != nil {
			return effect{}, fmt.Errorf("there is no leader to take the lease from: %w", err)
		}
		if age := time.Since(lease.Spec.RenewTime.Time); age > freshLease {
			return effect{}, fmt.Errorf("there is no leader to take the lease from: %q has not renewed it for %s", *lease.Spec.HolderIdentity, age)
		}
		e, err := plan(ctx, id, lease)
		e.recovered = func(ctx context.Context) (time.Time, error) { return led(ctx, c, component) }
		return e, err
	}
	return Fault{Kind: kind, TTL: DefaultTTL, parts: []part{p}}
}

func leaseOf(ctx context.Context, c *clusters.Cluster, component clusters.Component) (*coordinationv1.Lease, error) {
	client, err := c.Client(c.Front())
	if err != nil {
		return nil, err
	}
	return client.CoordinationV1().Leases("kube-system").Get(ctx, string(component), metav1.GetOptions{})
}

// stealScript gives the lease $2 to the holder $3 for $4 seconds, for the fault $1.
const stealScript = enter + armed + kubectl + `now=$(date -u +%Y-%m-%dT%H:%M:%S.%6NZ)
again api --namespace=kube-system patch lease "$2" --type=merge --patch='{"spec":{"holderIdentity":"'"$3"'",
  "leaseDurationSeconds":'"$4"',"acquireTime":"'"$now"'","renewTime":"'"$now"'"}}'
`

// releaseLeaseScript undoes stealScript. Between the two requests the lease may change
// hands: then the second does nothing.
const releaseLeaseScript = enter + kubectl + unlock + `release() {
  holder=$(api --namespace=kube-system get lease "$1" --ignore-not-found --output=jsonpath='{.spec.holderIdentity}') || return
  [ "$holder" = "$2" ] || return 0
  api --namespace=kube-system patch lease "$1" --type=json --patch='[
    {"op":"test","path":"/spec/holderIdentity","value":"'"$2"'"},
    {"op":"replace","path":"/spec/holderIdentity","value":""},
    {"op":"replace","path":"/spec/leaseDurationSeconds","value":1}]'
}
again release "$2" "$3"
` + relock + leave

// deleteLeaseScript deletes the lease $1 if it is the one with the UID $2.
const deleteLeaseScript = "set -e\n" + kubectl + `printf '{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"%s"}}' "$2" |
  api delete --raw="/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/$1" --filename=-
`

// led waits until an instance of the cluster holds the lease and has renewed it, and
// returns since when it has been the holder.
func led(ctx context.Context, c *clusters.Cluster, component clusters.Component) (since time.Time, err error) {
	var first coordinationv1.LeaseSpec
	err = clusters.Await(ctx, healingPoll, "a leader of "+string(component), func(ctx context.Context) error {
		if _, err := c.Leader(ctx, component); err != nil {
			since = time.Time{}
			return err
		}
		lease, err := leaseOf(ctx, c, component)
		if err != nil {
			return err
		}
		now := lease.Spec
		if since.IsZero() || *now.HolderIdentity != *first.HolderIdentity {
			first, since = now, time.Now()
		}
		if !now.RenewTime.After(first.RenewTime.Time) {
			return fmt.Errorf("%s has not renewed the lease yet", *now.HolderIdentity)
		}
		return nil
	})
	return since, err
}
