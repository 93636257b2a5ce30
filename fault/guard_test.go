package fault

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"faultline/clusters"
)

// TestInjectionsAtTheSameTime is for the race detector: the guard of one looks at the others,
// which are being planned.
func TestInjectionsAtTheSameTime(t *testing.T) {
	b := newBench(t)
	for range 20 {
		err := each([]clusters.Component{clusters.Etcd, clusters.Scheduler, clusters.ControllerManager}, func(n int, c clusters.Component) error {
			i, err := b.Inject(t.Context(), Pause(b.cluster.Instances(c)[n]))
			if err != nil {
				return err
			}
			return i.Undo(t.Context())
		})
		if err := errors.Join(err, b.unwell()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheGuardRefusesAnUnintendedLoss(t *testing.T) {
	etcd := func(b bench) clusters.Instances { return b.cluster.EtcdMembers() }
	schedulers := func(b bench) clusters.Instances { return b.cluster.Instances(clusters.Scheduler) }
	dns := func(_ *testing.T, b bench) {
		for _, node := range modelNodes[:2] {
			b.nodes[node].processes[clusters.CoreDNS] = &modelProcess{Process: clusters.Process{PID: 900, StartTicks: 9, State: "S"}, started: time.Now()}
		}
	}
	servers := func(b bench) clusters.Instances {
		all, err := b.cluster.Running(t.Context(), clusters.CoreDNS)
		if err != nil || len(all) != 2 {
			t.Fatalf("DNS servers: %v, %v; want 2", all, err)
		}
		return all
	}
	cases := map[string]struct {
		before func(*testing.T, bench)
		fault  func(bench) Fault
		want   string // empty: allowed
	}{
		"a minority of etcd": {nil, func(b bench) Fault { return Kill(etcd(b).Minority()...) }, ""},
		"a majority of etcd": {nil, func(b bench) Fault { return Kill(etcd(b).Majority()...) }, "1 of 3 instances of etcd, which needs 2"},
		"a majority that is meant": {nil, func(b bench) Fault {
			return Kill(etcd(b).Majority()...).Losing(clusters.Etcd)
		}, ""},
		"a majority when something else is meant": {nil, func(b bench) Fault {
			return Kill(etcd(b).Majority()...).Losing(clusters.Scheduler)
		}, `.Losing("etcd")`},
		"all but one scheduler": {nil, func(b bench) Fault { return Stop(schedulers(b)[1:]...) }, ""},
		"every scheduler":       {nil, func(b bench) Fault { return Stop(schedulers(b)...) }, "0 of 3 instances of kube-scheduler, which needs 1"},
		"a second member, while the first is paused": {
			func(t *testing.T, b bench) { b.must(t, Pause(etcd(b)[0])) },
			func(b bench) Fault { return Kill(etcd(b)[1]) }, "while etcd on n1 cannot serve already",
		},
		"a second member, after the first was killed and came back": {
			func(t *testing.T, b bench) { b.must(t, Kill(etcd(b)[0])) },
			func(b bench) Fault { return Kill(etcd(b)[1]) }, "",
		},
		"a second member, while somebody else broke the first": {
			func(_ *testing.T, b bench) { b.nodes["n1"].holds["other"] = clusters.Etcd },
			func(b bench) Fault { return Kill(etcd(b)[1]) }, "while etcd on n1 cannot serve already",
		},
		"one of two DNS servers": {dns, func(b bench) Fault { return Kill(servers(b)[0]) }, ""},
		"every DNS server":       {dns, func(b bench) Fault { return Kill(servers(b)...) }, "0 of 2 instances of coredns, which needs 1"},
		"a third member, after the quorum was lost on purpose": {
			func(t *testing.T, b bench) { b.must(t, Pause(etcd(b)[:2]...)) },
			func(b bench) Fault { return Kill(etcd(b)[2]) }, "",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				if c.before != nil {
					c.before(t, b)
				}
				changes := slices.Clone(b.changes())
				f := c.fault(b)
				_, err := b.Inject(t.Context(), f)
				if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				if err != nil && !slices.Equal(changes, b.changes()) {
					t.Errorf("changed %v", b.changes())
				}
				if err != nil {
					b.must(t, f.WithTTL(time.Minute)) // nothing stays reserved
				}
			})
		})
	}
}
