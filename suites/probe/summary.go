package probe

import (
	"slices"
	"time"

	"faultline/reports/record"
)

// Window is the time of an experiment on the clock of its probes. Where no
// fault was injected, Injected and Undone equal End.
type Window struct {
	Start, Injected, Undone, End time.Duration
}

// eachSpan tells of every view that held in the window from when to when it did, in seconds
// since the window's start: from its own instant to that of the next.
func eachSpan[V any](w Window, views []V, at func(V) time.Duration, tell func(v V, from, to float64)) {
	for i, v := range views {
		from, to := max(at(v), w.Start), w.End
		if i+1 < len(views) {
			to = min(at(views[i+1]), w.End)
		}
		if from < to {
			tell(v, (from - w.Start).Seconds(), (to - w.Start).Seconds())
		}
	}
}

// Record compresses what the probe saw in the window. Its instants are
// seconds since the window's start.
func (t *Timeline) Record(w Window) record.Probe {
	samples := t.Samples(w.Start, w.End)
	return record.Probe{
		Name:       string(t.name),
		Vantage:    t.vantage,
		Interval:   t.interval.Seconds(),
		Samples:    len(samples),
		Spans:      spans(samples, w),
		Before:     t.Latencies(w.Start, w.Injected),
		During:     t.Latencies(w.Injected, w.Undone),
		After:      t.Latencies(w.Undone, w.End),
		MaxGap:     t.MaxGap(w.Start, w.End).Seconds(),
		LongestOut: t.LongestOutage(w.Start, w.End).Seconds(),
	}
}

// spans merges neighbours of the same way. A span lasts until the next begins,
// the last until its last outcome.
func spans(samples []Sample, w Window) []record.Span {
	merged := []record.Span{}
	for _, s := range samples {
		at := (s.At - w.Start).Seconds()
		last := len(merged) - 1
		if last < 0 || merged[last].Way != s.Way {
			if last >= 0 {
				merged[last].To = at
			}
			merged = append(merged, record.Span{From: at, Way: s.Way})
			last++
		}
		span := &merged[last]
		span.Count++
		span.To = max(span.To, (min(s.Done(), w.End) - w.Start).Seconds())
		if span.Example == "" {
			span.Example = s.Detail
		}
	}
	// An answer may arrive after samples of the next span were sent.
	for i := range len(merged) - 1 {
		merged[i].To = merged[i+1].From
	}
	return merged
}

// Latencies are the percentiles of the successful samples that were sent between two instants.
func (t *Timeline) Latencies(from, to time.Duration) record.Latencies {
	var all []time.Duration
	for _, s := range t.Samples(from, to) {
		if s.Way == record.Up && s.Latency > 0 {
			all = append(all, s.Latency)
		}
	}
	if len(all) == 0 {
		return record.Latencies{}
	}
	slices.Sort(all)
	return record.Latencies{
		Count: len(all),
		P50:   Percentile(all, 50).Seconds(),
		P90:   Percentile(all, 90).Seconds(),
		P99:   Percentile(all, 99).Seconds(),
		Max:   all[len(all)-1].Seconds(),
	}
}

// Percentile is the nearest rank: the least value that p percent do not exceed.
func Percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[(len(sorted)*p+99)/100-1]
}
