package hosts

import (
	"testing"
	"time"

	. "faultline/suites/drill"
)

const stat = `cpu  300 0 100 1000 20 0 4 0 0 0
cpu0 100 0 50 700 10 0 2 0 0 0
cpu1 200 0 50 300 10 0 2 0 5 0
cpu10 1 1 1 1 1 1 1 1 0 0
intr 12345
`

func TestIdleShareOfACore(t *testing.T) {
	before, err := readTimes(stat, 1)
	if err != nil || before != (coreTimes{idle: 310, all: 562}) {
		t.Fatalf("%+v, %v", before, err)
	}
	if share := (coreTimes{idle: 335, all: 662}).idleSince(before); share != 0.25 {
		t.Errorf("25 of 100 ticks are a share of %g", share)
	}
	if share := before.idleSince(before); share != 0 {
		t.Errorf("no time has passed, and the share is %g", share)
	}
	for _, core := range []int{2, 12345} {
		if times, err := readTimes(stat, core); err == nil {
			t.Errorf("core %d has the times %+v", core, times)
		}
	}
}

func TestPacesAreCompared(t *testing.T) {
	const ms = time.Millisecond
	idle := Pace{Median: 10 * ms, P99: 20 * ms}
	for name, c := range map[string]struct {
		now                    Pace
		undisturbed, disturbed bool
	}{
		"the same":                    {idle, true, false},
		"within noise":                {Pace{Median: 13 * ms, P99: 28 * ms}, true, false},
		"slower, and still tolerated": {Pace{Median: 18 * ms, P99: 50 * ms}, true, true},
		"slower in the median":        {Pace{Median: 18 * ms, P99: 20 * ms}, true, true},
		"slower in its slowest":       {Pace{Median: 10 * ms, P99: 61 * ms}, false, true},
		"faster":                      {Pace{Median: 5 * ms, P99: 9 * ms}, true, false},
		"some requests had no answer": {Pace{Median: 10 * ms, P99: 1<<63 - 1}, false, true},
	} {
		if got := undisturbed(c.now, idle) == nil; got != c.undisturbed {
			t.Errorf("%s: undisturbed %t", name, got)
		}
		if got := disturbed(c.now, idle) == nil; got != c.disturbed {
			t.Errorf("%s: disturbed %t", name, got)
		}
	}
}
