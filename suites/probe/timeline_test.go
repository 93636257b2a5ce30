package probe

import (
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"faultline/reports/record"
)

const ms = time.Millisecond

// timelineOf has samples every 50 ms from 0, each answered after 10 ms.
func timelineOf(ways ...record.Way) *Timeline {
	t := NewTimeline(Write, "n1", 50*ms)
	for i, way := range ways {
		s := Sample{At: time.Duration(i) * 50 * ms, Latency: 10 * ms, Way: way}
		if way != record.Up {
			s.Detail = "message of " + string(way)
		}
		t.Add(s)
	}
	return t
}

func outage() *Timeline {
	return timelineOf(record.Up, record.Up, record.Refused, record.TimedOut, record.TimedOut, record.Up, record.Up, record.Up)
}

func TestFirstDownAndUp(t *testing.T) {
	line := outage()
	down := func(ways ...record.Way) func(time.Duration) (Sample, bool) {
		return func(after time.Duration) (Sample, bool) { return line.FirstDown(after, ways...) }
	}
	tests := []struct {
		name     string
		find     func(time.Duration) (Sample, bool)
		after    time.Duration
		want     time.Duration
		expected bool
	}{
		{"down from the start", down(), 0, 100 * ms, true},
		{"down at its very instant", down(), 100 * ms, 100 * ms, true},
		{"down after it", down(), 101 * ms, 150 * ms, true},
		{"no down after the outage", down(), 250 * ms, 0, false},
		{"down in another way first", down(record.TimedOut), 0, 150 * ms, true},
		{"never down in that way", down(record.Pending), 0, 0, false},
		{"up at once", line.FirstUp, 0, 0, true},
		// The answer of the request sent at 50 ms arrives at 60 ms: it proves nothing about 51 ms.
		{"up only of a later request", line.FirstUp, 51 * ms, 250 * ms, true},
		{"no up after the end", line.FirstUp, 351 * ms, 0, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, found := test.find(test.after)
			if found != test.expected || s.At != test.want {
				t.Errorf("found %v at %v, want %v at %v", found, s.At, test.expected, test.want)
			}
		})
	}
}

func TestStarvedSaysNothing(t *testing.T) {
	line := timelineOf(record.Up, record.Starved, record.Up)
	if _, found := line.FirstDown(0); found {
		t.Error("a starved sample counts as a failure of the target")
	}
	if ratio := line.SuccessRatio(0, time.Second); ratio != 1 {
		t.Errorf("success ratio %v, want 1", ratio)
	}
	if n := line.Ways(0, time.Second)[record.Starved]; n != 1 {
		t.Errorf("%d starved samples, want 1", n)
	}
}

func TestLongestOutage(t *testing.T) {
	line := outage() // successes arrive at 10, 60, 260, 310 and 360 ms
	tests := []struct{ from, to, want time.Duration }{
		{0, 360 * ms, 200 * ms},
		{0, 1360 * ms, 1000 * ms},      // the end counts
		{100 * ms, 200 * ms, 100 * ms}, // nothing but outage
		{100 * ms, 300 * ms, 160 * ms}, // the beginning counts
		{55 * ms, 59 * ms, 4 * ms},
	}
	for _, test := range tests {
		if got := line.LongestOutage(test.from, test.to); got != test.want {
			t.Errorf("outage in [%v, %v] is %v, want %v", test.from, test.to, got, test.want)
		}
	}
	// A slow answer of an early request ends the outage when it arrives.
	line.Add(Sample{At: 70 * ms, Latency: 90 * ms, Way: record.Up})
	if got := line.LongestOutage(0, 360*ms); got != 100*ms {
		t.Errorf("outage with an answer at 160 ms is %v, want 100 ms", got)
	}
}

func TestResumed(t *testing.T) {
	line := timelineOf(record.Up, record.Refused, record.Up, record.Refused, record.Refused, record.Refused, record.Up, record.Up, record.Up, record.Up)
	if s, ok := line.Resumed(50*ms, time.Second, 100*ms); !ok || s.At != 300*ms {
		t.Errorf("resumed %v at %v, want 300 ms: the success at 100 ms did not last", ok, s.At)
	}
	if _, ok := line.Resumed(50*ms, time.Second, 200*ms); ok {
		t.Error("resumed before the time to hold was observed")
	}
	if _, ok := line.Resumed(50*ms, 400*ms, 100*ms); ok {
		t.Error("resumed by samples that are too young")
	}
}

func TestSeenCountsWhatTellsSomething(t *testing.T) {
	line := timelineOf(record.Up, record.Starved, record.TimedOut)
	line.Add(Sample{At: 150 * ms, Way: record.TimedOut, Blind: true})
	if n := line.Seen(0, time.Second); n != 2 {
		t.Errorf("%d samples tell something, want 2", n)
	}
}

func TestCounts(t *testing.T) {
	line := outage()
	if up, down := line.Up(0, 400*ms), line.Down(0, 400*ms); up != 5 || down != 3 {
		t.Errorf("up %d and down %d, want 5 and 3", up, down)
	}
	if ratio := line.SuccessRatio(100*ms, 300*ms); ratio != 0.25 {
		t.Errorf("ratio %v, want 0.25", ratio)
	}
	if ratio := line.SuccessRatio(time.Hour, 2*time.Hour); ratio != 0 {
		t.Errorf("ratio of nothing is %v, want 0", ratio)
	}
	want := map[record.Way]int{record.Refused: 1, record.TimedOut: 2, record.Up: 1}
	if ways := line.Ways(100*ms, 300*ms); !reflect.DeepEqual(ways, want) {
		t.Errorf("ways %v, want %v", ways, want)
	}
	if s, ok := line.LastSuccess(); !ok || s.At != 350*ms {
		t.Errorf("last success at %v", s.At)
	}
}

func TestMaxGap(t *testing.T) {
	line := timelineOf(record.Up, record.Up)
	line.Add(Sample{At: 450 * ms, Way: record.Up})
	if gap := line.MaxGap(0, 500*ms); gap != 400*ms {
		t.Errorf("gap %v, want 400 ms", gap)
	}
	if gap := line.MaxGap(0, 2*time.Second); gap != 1550*ms {
		t.Errorf("gap with the end %v, want 1.55 s", gap)
	}
}

func TestSamplesAreOrderedByTheirSending(t *testing.T) {
	line := NewTimeline(Write, "n1", 50*ms)
	for _, at := range []time.Duration{100 * ms, 0, 150 * ms, 50 * ms} {
		line.Add(Sample{At: at, Way: record.Up})
	}
	for i, s := range line.Samples(0, time.Second) {
		if s.At != time.Duration(i)*50*ms {
			t.Fatalf("sample %d is that of %v", i, s.At)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	line := NewTimeline(Write, "n1", ms)
	line.limit = 100
	for i := range 1000 {
		line.Add(Sample{At: time.Duration(i) * ms, Way: record.Up})
	}
	if n := len(line.Samples(0, time.Hour)); n > 100 || n < 75 {
		t.Errorf("%d kept of 1000 with a limit of 100, want no fewer than three quarters", n)
	}
	if s, _ := line.Last(); s.At != 999*ms {
		t.Errorf("the newest sample is that of %v", s.At)
	}
}

func TestTimelineIsSafeForManyGoroutines(t *testing.T) {
	line := NewTimeline(Write, "n1", ms)
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 200 {
				line.Add(Sample{At: time.Duration(4*i+g) * ms, Way: record.Up})
				line.LongestOutage(0, time.Second)
				line.FirstDown(0)
			}
		})
	}
	all.Wait()
	if n := line.Up(0, time.Hour); n != 800 {
		t.Errorf("%d samples, want 800", n)
	}
}

func TestRecord(t *testing.T) {
	line := outage()
	got := line.Record(Window{Start: 50 * ms, Injected: 90 * ms, Undone: 250 * ms, End: 350 * ms})
	var text []string
	for _, s := range got.Spans {
		text = append(text, fmt.Sprintf("%.2f-%.2f %s %d %s", s.From, s.To, s.Way, s.Count, s.Example))
	}
	want := []string{
		"0.00-0.05 up 1 ",
		"0.05-0.10 refused 1 message of refused",
		"0.10-0.20 timed-out 2 message of timed-out",
		"0.20-0.26 up 2 ",
	}
	if !reflect.DeepEqual(text, want) {
		t.Errorf("spans\n%q, want\n%q", text, want)
	}
	if got.Samples != 6 || got.Before.Count != 1 || got.During.Count != 0 || got.After.Count != 2 {
		t.Errorf("%d samples, %d before, %d during, %d after; want 6, 1, 0, 2", got.Samples, got.Before.Count, got.During.Count, got.After.Count)
	}
	if got.LongestOut != 0.2 || got.MaxGap != 0.05 {
		t.Errorf("longest outage %v and gap %v, want 0.2 and 0.05", got.LongestOut, got.MaxGap)
	}
}

func TestPercentiles(t *testing.T) {
	line := NewTimeline(Write, "n1", ms)
	for i := range 100 {
		line.Add(Sample{At: time.Duration(i) * ms, Latency: time.Duration(100-i) * ms, Way: record.Up})
	}
	line.Add(Sample{At: 200 * ms, Latency: time.Hour, Way: record.TimedOut}) // failures have no latency
	line.Add(Sample{At: 201 * ms, Way: record.Up})                           // needed no request
	want := record.Latencies{Count: 100, P50: 0.05, P90: 0.09, P99: 0.099, Max: 0.1}
	if got := line.Latencies(0, time.Second); got != want {
		t.Errorf("latencies %+v, want %+v", got, want)
	}
}

func TestTakenCountsWhatWasDue(t *testing.T) {
	line := NewTimeline(Write, "n1", 100*time.Millisecond)
	for i := range 5 {
		line.Add(Sample{At: time.Duration(i) * 200 * time.Millisecond, Way: record.Up})
	}
	line.Add(Sample{At: 900 * time.Millisecond, Way: record.Starved})
	if taken, due := line.Taken(0, time.Second); taken != 5 || due != 10 {
		t.Errorf("got %d of %d, want 5 of 10", taken, due)
	}
}
