package drill

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"faultline/clusters"
	"faultline/fault"
	"faultline/reports/record"
	"faultline/suites/probe"
)

// drillAt is a drill of which so much time has gone by.
func drillAt(t *testing.T, now time.Duration) *Drill {
	t.Helper()
	timing := clusters.Timing{Profile: clusters.FastProfile(), Slack: 1}
	return &Drill{ctx: t.Context(), clock: probe.NewClock().From(-now), Cluster: &clusters.Cluster{Timing: timing}}
}

func TestJudgeBoundsOnBothSides(t *testing.T) {
	e := Pause(probe.Write).Within(clusters.Bounds{Lower: 13 * time.Second, Upper: 25 * time.Second})
	for measured, ok := range map[time.Duration]bool{12 * time.Second: false, 13 * time.Second: true, 25 * time.Second: true, 26 * time.Second: false} {
		if got := e.judge(measured, "it"); got.ok != ok {
			t.Errorf("%s: %t, want %t (%s)", measured, got.ok, ok, got.observed)
		}
	}
}

func TestKept(t *testing.T) {
	const end = 30 * time.Second
	for _, test := range []struct {
		name string
		down func(n int) bool // the n-th of 20 requests a second
		ok   bool
	}{
		{"every request is answered", func(int) bool { return false }, true},
		{"one gap of a second", func(n int) bool { return n >= 100 && n < 120 }, true},
		{"one gap of three seconds", func(n int) bool { return n >= 100 && n < 160 }, false},
		{"one request in a hundred fails", func(n int) bool { return n%100 == 0 }, true},
		{"every other request fails", func(n int) bool { return n%2 == 0 }, false},
		{"one request a second is answered", func(n int) bool { return n%20 != 0 }, false},
	} {
		line := probe.NewTimeline(probe.Write, "front", 50*time.Millisecond)
		for n := range int(end / line.Interval()) {
			s := probe.Sample{At: time.Duration(n) * line.Interval(), Latency: time.Millisecond, Way: record.Up}
			if test.down(n) {
				s.Way = record.Refused
			}
			line.Add(s)
		}
		d := drillAt(t, end)
		if err := kept(line, 0, end, d.tolerance(line)); (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// Half of the requests hang. What became of them is known a second later than of those that
// were answered, so that there are always successes in a row.
func TestNothingResumesWhileRequestsHang(t *testing.T) {
	for _, test := range []struct {
		name string
		hang bool
	}{{"every other request hangs", true}, {"none hangs any more", false}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := drillAt(t, 0)
				line := probe.NewTimeline(probe.Service, "n1", 100*time.Millisecond)
				line.Add(probe.Sample{At: 0, Way: record.Refused})
				ctx, cancel := context.WithCancel(t.Context())
				var sending sync.WaitGroup
				sending.Go(func() { send(ctx, d, line, test.hang) })
				defer sending.Wait()
				defer cancel()
				pausing := Pause(probe.Service).Within(clusters.Bounds{Upper: time.Minute})
				if found := pausing.look(ctx, d, pausing, line); found.ok == test.hang {
					t.Errorf("it paused: %t (%s)", found.ok, found.observed)
				}
			})
		})
	}
}

// send adds a sample each interval; of those that hang, every other one, when they time out.
func send(ctx context.Context, d *Drill, line *probe.Timeline, hang bool) {
	for n := 0; ctx.Err() == nil; n++ {
		at := d.now()
		if hang && n%2 == 0 {
			time.AfterFunc(probe.DefaultTimeout, func() {
				line.Add(probe.Sample{At: at, Latency: probe.DefaultTimeout, Way: record.TimedOut})
			})
		} else {
			line.Add(probe.Sample{At: at, Latency: time.Millisecond, Way: record.Up})
		}
		time.Sleep(line.Interval())
	}
}

func TestNothingIsLostWhereNobodyLooks(t *testing.T) {
	for _, blind := range []bool{true, false} {
		d := drillAt(t, 10*time.Second)
		line := probe.NewTimeline(probe.Resolve, "in-cluster:n1", 100*time.Millisecond)
		for at := time.Duration(0); at < 10*time.Second; at += 100 * time.Millisecond {
			line.Add(probe.Sample{At: at, Way: record.TimedOut, Blind: blind})
		}
		losing := Lose(probe.Resolve).Within(clusters.Bounds{Upper: time.Second})
		if found := losing.look(t.Context(), d, losing, line); found.ok == blind {
			t.Errorf("blind %t: lost %t (%s)", blind, found.ok, found.observed)
		}
	}
}

func TestWhatIsGreenAgainHasToStaySo(t *testing.T) {
	for _, flaps := range []bool{true, false} {
		d := drillAt(t, 20*time.Second)
		line := probe.NewTimeline(probe.Write, "front", 50*time.Millisecond)
		fill := func(from, to time.Duration, way record.Way) {
			for at := from; at < to; at += line.Interval() {
				line.Add(probe.Sample{At: at, Latency: time.Millisecond, Way: way})
			}
		}
		fill(0, 3*time.Second, record.Refused)
		fill(3*time.Second, 20*time.Second, record.Up)
		pausing := Pause(probe.Write).Within(clusters.Bounds{Upper: 5 * time.Second})
		if found := pausing.look(t.Context(), d, pausing, line); !found.ok {
			t.Fatalf("green again after 3 s: %s", found.observed)
		}
		later := record.Up
		if flaps {
			later = record.Refused
		}
		fill(20*time.Second, 25*time.Second, later)
		d.clock = probe.NewClock().From(-25 * time.Second)
		if err := d.unkept(); (err != nil) != flaps {
			t.Errorf("lost again %t: %v", flaps, err)
		}
	}
}

func TestAPauseThatComesBackIsOnePause(t *testing.T) {
	d := drillAt(t, 30*time.Second)
	line := probe.NewTimeline(probe.Write, "front", 50*time.Millisecond)
	for at := time.Duration(0); at < 30*time.Second; at += line.Interval() {
		s := probe.Sample{At: at, Latency: time.Millisecond, Way: record.Up}
		if at < 3*time.Second || at >= 6*time.Second && at < 11*time.Second || at == 20*time.Second {
			s.Way = record.Refused
		}
		line.Add(s)
	}
	for upper, ok := range map[time.Duration]bool{8 * time.Second: false, 12 * time.Second: true} {
		pausing := Pause(probe.Write).Within(clusters.Bounds{Upper: upper})
		if found := pausing.look(t.Context(), d, pausing, line); found.ok != ok {
			t.Errorf("within %s: %t (%s)", upper, found.ok, found.observed)
		}
	}
}

func TestPauseInAWayIgnoresAnotherFailure(t *testing.T) {
	for _, pending := range []bool{true, false} {
		d := drillAt(t, 22*time.Second)
		line := probe.NewTimeline(probe.Schedule, "front", 50*time.Millisecond)
		for at := time.Duration(0); at < 22*time.Second; at += 50 * time.Millisecond {
			s := probe.Sample{At: at, Latency: time.Millisecond, Way: record.Up}
			switch {
			case at == time.Second:
				s.Way = record.TimedOut
			case pending && at >= 3*time.Second && at < 16*time.Second:
				s.Way = record.Pending
			}
			line.Add(s)
		}
		waiting := VisiblyPause(probe.Schedule).As(record.Pending).Within(clusters.Bounds{Lower: 13 * time.Second, Upper: 25 * time.Second})
		if found := waiting.look(t.Context(), d, waiting, line); found.ok != pending {
			t.Errorf("pending from 3 s to 16 s %t: %s", pending, found.observed)
		}
		anyWay := VisiblyPause(probe.Schedule).Within(clusters.Bounds{Upper: 25 * time.Second})
		if found := anyWay.look(t.Context(), d, anyWay, line); !found.ok {
			t.Errorf("a request that timed out at 1 s is a failure too: %s", found.observed)
		}
	}
}

func TestPartIsNeitherNoneNorAll(t *testing.T) {
	answers := map[string]struct {
		down func(n int) bool
		ok   bool
	}{
		"every other request fails":     {func(n int) bool { return n%2 == 0 }, true},
		"a little more than half fails": {func(n int) bool { return n%9 < 5 }, true},
		"every request fails":           {func(int) bool { return true }, false},
		"no request fails":              {func(int) bool { return false }, false},
		"one in ten fails":              {func(n int) bool { return n%10 == 0 }, false},
	}
	for name, a := range answers {
		line := probe.NewTimeline(probe.Service, "n1", 50*time.Millisecond)
		for n := range 200 {
			s := probe.Sample{At: time.Duration(n) * 50 * time.Millisecond, Way: record.Up}
			if a.down(n) {
				s.Way = record.TimedOut
			}
			line.Add(s)
		}
		if err := judgePart(line, 0, 10*time.Second, 0.5); (err == nil) != a.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSuccessorIgnoresAReleaseAndOldNews(t *testing.T) {
	views := []probe.LeaseView{
		{At: time.Second, Holder: "a"}, {At: 5 * time.Second, Holder: ""}, {At: 7 * time.Second, Holder: "b"}, {At: 9 * time.Second, Holder: "c"},
	}
	before, after := successor(views, 4*time.Second)
	if before.Holder != "a" || after.Holder != "b" {
		t.Errorf("from %q to %q, want a to b", before.Holder, after.Holder)
	}
	if _, after := successor(views[:2], 4*time.Second); after.Holder != "" {
		t.Errorf("a release counts as a holder: %q", after.Holder)
	}
}

func TestNextTermNeedsAHigherTerm(t *testing.T) {
	views := []probe.EtcdView{{At: 0, Leader: "a", Term: 2}, {At: 5 * time.Second, Leader: "", Term: 2}, {At: 6 * time.Second, Leader: "a", Term: 2}}
	if _, after := nextTerm(views, 4*time.Second); after.Leader != "" {
		t.Errorf("the same term counts as an election: %+v", after)
	}
	views = append(views, probe.EtcdView{At: 7 * time.Second, Leader: "b", Term: 3})
	if _, after := nextTerm(views, 4*time.Second); after.Leader != "b" {
		t.Errorf("got %+v, want b in term 3", after)
	}
}

func TestWaysTextSortsByCount(t *testing.T) {
	got := waysText(map[record.Way]int{record.Up: 2, record.Refused: 30})
	if got != "30 refused, 2 up" {
		t.Errorf("got %q", got)
	}
}

func TestClaimsRefusesAStranger(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a claim that nobody made was accepted")
		}
	}()
	Claims("ETCD-999")
}

func TestSabotageOptionsLeaveNoRecord(t *testing.T) {
	for name, o := range map[string]Option{"fault": WithoutFault, "undo": WithoutUndo, "TTL": WithTTL(time.Second), "probes": WithLyingProbes} {
		var got options
		o(&got)
		if !got.discard || (got.sabotage == fault.Sabotage{} && !got.lie && got.ttl == 0) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestUnansweredTellsANoFromSilence(t *testing.T) {
	if unanswered(nil) {
		t.Error("success counts as silence")
	}
	if !unanswered(context.DeadlineExceeded) {
		t.Error("a time-out does not count as silence")
	}
}

func TestOutageLastsUntilTheRepairBegins(t *testing.T) {
	d := drillAt(t, 0)
	if d.Outage() != 0 {
		t.Errorf("an outage of %s before anything was broken", d.Outage())
	}
	d.repair = 30 * time.Second
	for _, d.injections = range [][]*fault.Injection{nil, {new(fault.Injection)}} {
		if d.Outage() != d.repair {
			t.Errorf("%d injections: an outage of %s, want %s", len(d.injections), d.Outage(), d.repair)
		}
	}
}
