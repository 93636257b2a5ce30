package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"faultline/clusters"
	"faultline/reports/record"
)

// LeaseView is what a leader lock said from an instant on.
type LeaseView struct {
	At          time.Duration
	Holder      string // empty after a release
	Transitions int
}

// Leases is who held the leader locks when. While nobody can read them, the
// last known holder stands: that is what a reader of the lock believes.
type Leases struct {
	clock  Clock
	states *States // of API servers, whose leases are in the same list
	turns

	mu sync.Mutex
	// newest is the revision of what is known, and told is when that was read.
	newest uint64
	told   time.Duration
	views  map[string][]LeaseView
	renews map[string]time.Duration // when a renewal was last seen
	stamps map[string]string        // its time on the server's clock
}

// elected are the components whose locks are watched.
var elected = []clusters.Component{clusters.Scheduler, clusters.ControllerManager}

// identityLabel is on the lease by which each API server says that it is there; its holder is
// another with each start.
const identityLabel = "apiserver.kubernetes.io/identity"

func newLeases(clock Clock, states *States) *Leases {
	return &Leases{clock: clock, states: states, views: map[string][]LeaseView{}, renews: map[string]time.Duration{}, stamps: map[string]string{}}
}

// open reads the locks through all the doors. The reads are consistent, so that no answer is
// older than its request.
func (l *Leases) open(doors []door, timeout time.Duration) error {
	return l.through(doors, "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases", timeout)
}

func (l *Leases) take(ctx context.Context) outcome {
	sent := l.clock.Now()
	return l.turns.take(ctx, func(body []byte) error { return l.apply(sent, body) })
}

// apply takes a list of leases whose request was sent at an instant.
func (l *Leases) apply(sent time.Duration, body []byte) error {
	var list struct {
		Metadata struct {
			ResourceVersion uint64 `json:"resourceVersion,string"`
		} `json:"metadata"`
		Items []struct {
			Metadata struct {
				Name   string            `json:"name"`
				Labels map[string]string `json:"labels"`
			} `json:"metadata"`
			Spec struct {
				HolderIdentity   string `json:"holderIdentity"`
				LeaseTransitions int    `json:"leaseTransitions"`
				RenewTime        string `json:"renewTime"`
			} `json:"spec"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return fmt.Errorf("read the list of leases: %w", err)
	}
	now := l.clock.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	// Of two requests that are under way together the later may have been carried out first. A
	// store that was restored from a backup goes back, too, and is asked afterwards.
	if list.Metadata.ResourceVersion < l.newest && sent < l.told {
		return nil
	}
	l.newest, l.told = list.Metadata.ResourceVersion, now
	for _, item := range list.Items {
		name := item.Metadata.Name
		if item.Metadata.Labels[identityLabel] == string(clusters.APIServer) {
			of := fmt.Sprintf("%s on %s", clusters.APIServer, item.Metadata.Labels[corev1.LabelHostname])
			l.states.seeProcess(now, of, item.Spec.HolderIdentity)
		}
		if !slices.Contains(elected, clusters.Component(name)) {
			continue
		}
		if l.stamps[name] != item.Spec.RenewTime {
			l.stamps[name], l.renews[name] = item.Spec.RenewTime, now
		}
		l.see(name, LeaseView{At: now, Holder: item.Spec.HolderIdentity, Transitions: item.Spec.LeaseTransitions})
	}
	return nil
}

func (l *Leases) see(name string, v LeaseView) {
	views := l.views[name]
	if n := len(views); n > 0 && views[n-1].Holder == v.Holder && views[n-1].Transitions == v.Transitions {
		return
	}
	l.views[name] = append(views, v)
}

// Changes lists what a component's lock said, one view per change.
func (l *Leases) Changes(c clusters.Component) []LeaseView {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.views[string(c)])
}

// Holder is what a component's lock said at an instant; false before it was first read.
func (l *Leases) Holder(c clusters.Component, at time.Duration) (LeaseView, bool) {
	for _, v := range slices.Backward(l.Changes(c)) {
		if v.At <= at {
			return v, true
		}
	}
	return LeaseView{}, false
}

// Renewed is when a component's lock was last seen renewed.
func (l *Leases) Renewed(c clusters.Component) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.renews[string(c)]
	return at, ok
}

// Record is the history of the locks in a window, in seconds since its start.
func (l *Leases) Record(w Window) []record.Lease {
	all := []record.Lease{}
	for _, c := range elected {
		lease := record.Lease{Name: string(c), Holds: []record.Tenure{}}
		eachSpan(w, l.Changes(c), func(v LeaseView) time.Duration { return v.At }, func(v LeaseView, from, to float64) {
			lease.Holds = append(lease.Holds, record.Tenure{From: from, To: to, Holder: v.Holder, Transitions: v.Transitions})
		})
		all = append(all, lease)
	}
	return all
}
