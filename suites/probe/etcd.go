package probe

import (
	"context"
	"fmt"
	"sync"
	"time"

	"faultline/clusters"
	"faultline/reports/record"
)

const (
	// etcdInterval is the time between two questions to the same member.
	etcdInterval = 300 * time.Millisecond
	// etcdStale is when a member's last word counts no more.
	etcdStale = 1500 * time.Millisecond
)

// EtcdView is who led etcd from an instant on.
type EtcdView struct {
	At     time.Duration
	Leader string // the leader's node; empty when no member that answers knows one
	Term   uint64
}

// EtcdLeaders is who led etcd when, by the words of all members.
type EtcdLeaders struct {
	clock Clock

	mu      sync.Mutex
	members map[string]memberWord
	names   map[uint64]string
	tenures []etcdTenure
}

// memberWord is what a member said last, and when it was asked.
type memberWord struct {
	asked        time.Duration
	leader, term uint64
}

// etcdTenure is a leader by its member number: its name may be learnt later.
type etcdTenure struct {
	from         time.Duration
	leader, term uint64
}

func newEtcdLeaders(clock Clock) *EtcdLeaders {
	return &EtcdLeaders{clock: clock, members: map[string]memberWord{}, names: map[uint64]string{}}
}

// asking is the sample that asks one member.
func (e *EtcdLeaders) asking(c *clusters.Cluster, member clusters.Instance) func(context.Context) outcome {
	return func(ctx context.Context) outcome {
		asked := e.clock.Now()
		status, err := c.EtcdStatus(ctx, member)
		if err != nil {
			e.apply(asked, "", clusters.EtcdMember{})
			return failed(err)
		}
		e.apply(asked, member.Unique(), status)
		return up
	}
}

// apply takes a member's word; without a node it only lets old words expire.
func (e *EtcdLeaders) apply(asked time.Duration, node string, status clusters.EtcdMember) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if node != "" && asked >= e.members[node].asked {
		e.members[node] = memberWord{asked: asked, leader: status.Leader, term: status.Term}
		e.names[status.ID] = node
	}
	now := e.clock.Now()
	v := e.merge(now)
	if n := len(e.tenures); n > 0 && e.tenures[n-1].leader == v.leader && e.tenures[n-1].term == v.term {
		return
	}
	v.from = now
	e.tenures = append(e.tenures, v)
}

// merge believes the highest term, and in it whoever knows a leader: a member
// that is cut off stays behind in an old term. A term is never unlearnt.
func (e *EtcdLeaders) merge(now time.Duration) etcdTenure {
	var best memberWord
	for _, word := range e.members {
		if now-word.asked > etcdStale {
			continue
		}
		if word.term > best.term || word.term == best.term && best.leader == 0 {
			best = word
		}
	}
	v := etcdTenure{leader: best.leader, term: best.term}
	if n := len(e.tenures); n > 0 && e.tenures[n-1].term > v.term {
		v = etcdTenure{term: e.tenures[n-1].term}
	}
	return v
}

// Changes lists the leaders, one view per change.
func (e *EtcdLeaders) Changes() []EtcdView {
	e.mu.Lock()
	defer e.mu.Unlock()
	var views []EtcdView
	for _, t := range e.tenures {
		views = append(views, EtcdView{At: t.from, Leader: e.name(t.leader), Term: t.term})
	}
	return views
}

// name is the node of a member, or its number where that member never answered.
func (e *EtcdLeaders) name(id uint64) string {
	if name, known := e.names[id]; known || id == 0 {
		return name
	}
	return fmt.Sprintf("%x", id)
}

// Record is the history of the leaders in a window, in seconds since its start.
func (e *EtcdLeaders) Record(w Window) []record.EtcdTenure {
	all := []record.EtcdTenure{}
	eachSpan(w, e.Changes(), func(v EtcdView) time.Duration { return v.At }, func(v EtcdView, from, to float64) {
		all = append(all, record.EtcdTenure{From: from, To: to, Leader: v.Leader, Term: v.Term})
	})
	return all
}
