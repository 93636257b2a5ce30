package drill

import (
	"testing"
	"time"

	"faultline/clusters"
	"faultline/suites/probe"
)

func TestALeaseIsHandedOverOnceAndInTime(t *testing.T) {
	e := HandOver(clusters.Scheduler).Within(clusters.Bounds{Lower: 13 * time.Second, Upper: 25 * time.Second})
	before := probe.LeaseView{Holder: "a", Transitions: 4}
	for name, c := range map[string]struct {
		transitions int
		measured    time.Duration
		ok          bool
	}{
		"once, in time":                  {5, 20 * time.Second, true},
		"before it can have run out":     {5, 12 * time.Second, false},
		"too late":                       {5, 26 * time.Second, false},
		"twice, of which one was seen":   {6, 20 * time.Second, false},
		"made anew, with another number": {0, 20 * time.Second, false},
	} {
		after := probe.LeaseView{Holder: "b", Transitions: c.transitions}
		if found := e.judge(before, after, c.measured); found.ok != c.ok || found.observed == "" {
			t.Errorf("%s: %t (%s), want %t", name, found.ok, found.observed, c.ok)
		}
	}
}

func TestALeaderThatIsStartedAgainIsNotElsewhere(t *testing.T) {
	before := probe.LeaseView{Holder: "n1_a", Transitions: 4}
	for holder, want := range map[string]bool{"n2_b": true, "n1_b": false} {
		e := HandOver(clusters.Scheduler).Elsewhere().Within(clusters.Bounds{Upper: 25 * time.Second})
		if found := e.judge(before, probe.LeaseView{Holder: holder, Transitions: 5}, 20*time.Second); found.ok != want {
			t.Errorf("%s: %t (%s)", holder, found.ok, found.observed)
		}
	}
}

func TestHandOversAreCounted(t *testing.T) {
	at := func(second int, holder string, transitions int) probe.LeaseView {
		return probe.LeaseView{At: time.Duration(second) * time.Second, Holder: holder, Transitions: transitions}
	}
	for name, c := range map[string]struct {
		views []probe.LeaseView
		want  int
	}{
		"nobody has looked":              {nil, 0},
		"the same holder":                {[]probe.LeaseView{at(1, "a", 4)}, 0},
		"another holder":                 {[]probe.LeaseView{at(1, "a", 4), at(5, "b", 5)}, 1},
		"released and taken":             {[]probe.LeaseView{at(1, "a", 4), at(5, "", 4), at(6, "b", 5)}, 1},
		"released":                       {[]probe.LeaseView{at(1, "a", 4), at(5, "", 4)}, 1},
		"back and forth between looks":   {[]probe.LeaseView{at(1, "a", 4), at(5, "a", 6)}, 1},
		"made anew by the same holder":   {[]probe.LeaseView{at(1, "a", 4), at(5, "a", 0)}, 0},
		"two, one of them after the end": {[]probe.LeaseView{at(1, "a", 4), at(5, "b", 5), at(11, "c", 6)}, 1},
	} {
		if got := handOvers(c.views, 0, 10*time.Second); got != c.want {
			t.Errorf("%s: %d times, want %d", name, got, c.want)
		}
	}
	if got := handOvers([]probe.LeaseView{at(1, "a", 4), at(5, "b", 5)}, 5*time.Second, 10*time.Second); got != 0 {
		t.Errorf("what was counted before counts %d times more", got)
	}
}
