package drill

import (
	"slices"
	"testing"
	"time"

	"faultline/reports/record"
	"faultline/suites/probe"
)

// hundred is a hundred samples of 10 ms, and others.
func hundred(others ...probe.Sample) []probe.Sample {
	return append(slices.Repeat([]probe.Sample{{Latency: 10 * time.Millisecond, Way: record.Up}}, 100), others...)
}

func slowly(n int) []probe.Sample {
	return slices.Repeat([]probe.Sample{{Latency: 90 * time.Millisecond, Way: record.Up}}, n)
}

func TestPace(t *testing.T) {
	refused := slices.Repeat([]probe.Sample{{Latency: time.Millisecond, Way: record.Refused}}, 5)
	starved := slices.Repeat([]probe.Sample{{Way: record.Starved}}, 200)
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		spans [][]probe.Sample
		want  Pace
	}{
		"steady":                      {[][]probe.Sample{hundred(), hundred(), hundred()}, Pace{10 * ms, 10 * ms}},
		"one slow request in a span":  {[][]probe.Sample{hundred(slowly(1)...), hundred(slowly(1)...), hundred(slowly(1)...)}, Pace{10 * ms, 10 * ms}},
		"a hiccup in one of spans":    {[][]probe.Sample{hundred(), hundred(slowly(300)...), hundred()}, Pace{10 * ms, 10 * ms}},
		"slow requests in most spans": {[][]probe.Sample{hundred(), hundred(slowly(5)...), hundred(slowly(5)...)}, Pace{10 * ms, 90 * ms}},
		"slow in most spans":          {[][]probe.Sample{hundred(), hundred(slowly(101)...), hundred(slowly(101)...)}, Pace{90 * ms, 90 * ms}},
		"a quick refusal is no pace":  {[][]probe.Sample{hundred(refused...), hundred(refused...), hundred()}, Pace{10 * ms, forever}},
		"starved samples say nothing": {[][]probe.Sample{hundred(starved...), hundred(starved...), hundred()}, Pace{10 * ms, 10 * ms}},
	} {
		got, err := paceOf(c.spans)
		if err != nil || got != c.want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, c.want)
		}
		if answered := got.Answered() == nil; answered != (c.want.P99 != forever) {
			t.Errorf("%s: answered %t", name, answered)
		}
	}
	for _, spans := range [][][]probe.Sample{nil, {hundred(), starved}} {
		if got, err := paceOf(spans); err == nil {
			t.Errorf("nobody has seen a request, and the pace is %s", got)
		}
	}
}

func TestTimesOfAPace(t *testing.T) {
	const ms = time.Millisecond
	median, p99 := Pace{30 * ms, 50 * ms}.Times(Pace{10 * ms, 100 * ms})
	if median != 3 || p99 != 0.5 {
		t.Errorf("%g and %g", median, p99)
	}
	if _, p99 := (Pace{10 * ms, forever}).Times(Pace{10 * ms, 100 * ms}); p99 < 1e6 {
		t.Errorf("no answer is only %g times as slow", p99)
	}
}
