package probe

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"faultline/clusters"
	"faultline/reports/record"
)

func leaseList(revision int, holder string, transitions int) []byte {
	return fmt.Appendf(nil, `{"metadata":{"resourceVersion":"%d"},"items":[{"metadata":{"name":"apiserver-x"},"spec":{"holderIdentity":"a"}},
{"metadata":{"name":"kube-scheduler"},"spec":{"holderIdentity":%q,"leaseTransitions":%d,"renewTime":"%d"}}]}`, revision, holder, transitions, time.Now().UnixNano())
}

func TestLeaseHistory(t *testing.T) {
	l := newLeases(NewClock(), newStates())
	apply := func(sent time.Duration, body []byte) {
		t.Helper()
		if err := l.apply(sent, body); err != nil {
			t.Fatal(err)
		}
	}
	apply(1, leaseList(11, "n1", 3))
	apply(2, leaseList(12, "n1", 3))
	apply(3, leaseList(13, "", 3)) // released
	apply(4, leaseList(15, "n2", 4))
	apply(5, leaseList(14, "n1", 3)) // sent later, and carried out before
	var holders []string
	for _, v := range l.Changes(clusters.Scheduler) {
		holders = append(holders, fmt.Sprint(v.Holder, v.Transitions))
	}
	if want := []string{"n13", "3", "n24"}; !reflect.DeepEqual(holders, want) {
		t.Errorf("holders %q, want %q", holders, want)
	}
	if v, ok := l.Holder(clusters.Scheduler, l.clock.Now()); !ok || v.Holder != "n2" {
		t.Errorf("holder now is %q", v.Holder)
	}
	if _, ok := l.Renewed(clusters.Scheduler); !ok {
		t.Error("no renewal was seen")
	}
	got := l.Record(Window{End: time.Hour})
	if len(got) != 2 || len(got[0].Holds) != 3 || got[0].Holds[2].To != 3600 || len(got[1].Holds) != 0 {
		t.Errorf("record %+v", got)
	}
	apply(l.clock.Now(), leaseList(2, "n3", 1)) // restored from a backup
	if v, ok := l.Holder(clusters.Scheduler, l.clock.Now()); !ok || v.Holder != "n3" {
		t.Errorf("holder of the restored store is %q", v.Holder)
	}
	if err := l.apply(9, []byte("no")); err == nil {
		t.Error("an unreadable list is accepted")
	}
}

func TestAPIServersAreToldByTheirProcesses(t *testing.T) {
	l := newLeases(NewClock(), newStates())
	for _, identity := range []string{"apiserver-x_1", "apiserver-x_1", "apiserver-x_2"} {
		body := fmt.Appendf(nil, `{"items":[{"metadata":{"name":"apiserver-x","labels":{"apiserver.kubernetes.io/identity":"kube-apiserver","kubernetes.io/hostname":"n1"}},
"spec":{"holderIdentity":%q}}]}`, identity)
		if err := l.apply(l.clock.Now(), body); err != nil {
			t.Fatal(err)
		}
	}
	got := l.states.Record(Window{End: time.Hour})
	if len(got) != 1 || got[0].Of != "kube-apiserver on n1" || len(got[0].Spans) != 2 || got[0].Spans[0].Is != "process 1" || got[0].Spans[1].Is != "process 2" {
		t.Errorf("a restart is told as %+v", got)
	}
}

func TestNodesAreToldByTheirConditions(t *testing.T) {
	r := &nodeReader{clock: NewClock(), states: newStates()}
	for _, status := range []string{"True", "True", "Unknown", "False", "True"} {
		body := fmt.Appendf(nil, `{"items":[{"metadata":{"name":"n1"},"status":{"conditions":[{"type":"Ready","status":%q},{"type":"DiskPressure","status":"False"}]}}]}`, status)
		if err := r.apply(body); err != nil {
			t.Fatal(err)
		}
	}
	var is []string
	for _, s := range r.states.Record(Window{End: time.Hour})[0].Spans {
		is = append(is, s.Is)
	}
	if want := []string{record.StateReady, record.StateUnknown, record.StateNotReady, record.StateReady}; !reflect.DeepEqual(is, want) {
		t.Errorf("the node was %q, want %q", is, want)
	}
	if err := r.apply([]byte("no")); err == nil {
		t.Error("an unreadable list is accepted")
	}
}

func TestLeaseWindow(t *testing.T) {
	l := newLeases(NewClock(), newStates())
	l.views["kube-scheduler"] = []LeaseView{{At: time.Second, Holder: "a"}, {At: 5 * time.Second, Holder: "b", Transitions: 1}}
	got := l.Record(Window{Start: 3 * time.Second, End: 6 * time.Second})[0].Holds
	want := []record.Tenure{{From: 0, To: 2, Holder: "a"}, {From: 2, To: 3, Holder: "b", Transitions: 1}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("holds %+v, want %+v", got, want)
	}
}

func TestEtcdLeaders(t *testing.T) {
	e := newEtcdLeaders(NewClock())
	say := func(node string, id, leader, term uint64) {
		e.apply(e.clock.Now(), node, clusters.EtcdMember{ID: id, Leader: leader, Term: term})
	}
	say("n2", 2, 1, 5) // n1 has not answered yet: only its number is known
	say("n1", 1, 1, 5)
	say("n2", 2, 0, 6) // an election
	say("n1", 1, 1, 5) // the old leader, cut off
	say("n3", 3, 3, 6)
	var got []string
	for _, v := range e.Changes() {
		got = append(got, fmt.Sprintf("%s/%d", v.Leader, v.Term))
	}
	if want := []string{"n1/5", "/6", "n3/6"}; !reflect.DeepEqual(got, want) {
		t.Errorf("leaders %q, want %q", got, want)
	}
	// Words expire: without answers nobody is known to lead, in the last term.
	e.clock.epoch = e.clock.epoch.Add(-2 * etcdStale)
	e.apply(e.clock.Now(), "", clusters.EtcdMember{})
	last := e.Changes()[len(e.Changes())-1]
	if last.Leader != "" || last.Term != 6 {
		t.Errorf("after silence %q leads in term %d", last.Leader, last.Term)
	}
	if r := e.Record(Window{End: time.Hour}); len(r) != 4 || r[3].To != 3600 {
		t.Errorf("record %+v", r)
	}
}
