package probe

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"faultline/reports/record"
)

// maxSamples bounds a timeline: more than half an hour at 50 ms. Beyond it the
// oldest quarter is forgotten.
const maxSamples = 40_000

// Timeline is everything that one probe saw from one vantage point, in the
// order in which its samples were sent. It may be used from many goroutines.
type Timeline struct {
	name     Name
	vantage  string
	interval time.Duration
	limit    int

	mu      sync.Mutex
	samples []Sample
}

// NewTimeline makes an empty timeline.
func NewTimeline(name Name, vantage string, interval time.Duration) *Timeline {
	return &Timeline{name: name, vantage: vantage, interval: interval, limit: maxSamples}
}

// Name is what the probe asks for.
func (t *Timeline) Name() Name { return t.name }

// Vantage is where the probe looks from.
func (t *Timeline) Vantage() string { return t.vantage }

// Interval is the time between two samples as intended.
func (t *Timeline) Interval() time.Duration { return t.interval }

// String names the timeline for people.
func (t *Timeline) String() string { return string(t.name) + " at " + t.vantage }

// Add appends a sample. Samples may finish in another order than they were
// sent in; they are kept in the order of sending.
func (t *Timeline) Add(s Sample) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.samples) >= t.limit {
		t.samples = slices.Delete(t.samples, 0, max(1, t.limit/4))
	}
	i := len(t.samples)
	for i > 0 && t.samples[i-1].At > s.At {
		i--
	}
	// A failure repeats its message many times: keep one copy of the text.
	if i > 0 && t.samples[i-1].Detail == s.Detail {
		s.Detail = t.samples[i-1].Detail
	}
	t.samples = slices.Insert(t.samples, i, s)
}

// from is the index of the first sample that was sent at or after the instant.
// The caller holds the lock.
func (t *Timeline) from(at time.Duration) int {
	i, _ := slices.BinarySearchFunc(t.samples, at, func(s Sample, at time.Duration) int { return cmp.Compare(s.At, at) })
	return i
}

// between are the samples sent in [from, to). The caller holds the lock.
func (t *Timeline) between(from, to time.Duration) []Sample {
	i := t.from(from)
	return t.samples[i:max(i, t.from(to))]
}

// Samples copies the samples that were sent in [from, to).
func (t *Timeline) Samples(from, to time.Duration) []Sample {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.between(from, to))
}

// Last is the sample that was sent last among those whose outcome is known.
func (t *Timeline) Last() (Sample, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.samples) == 0 {
		return Sample{}, false
	}
	return t.samples[len(t.samples)-1], true
}

// FirstDown is the first failure of a request that was sent at or after the instant,
// in one of the given ways where some are given.
func (t *Timeline) FirstDown(after time.Duration, ways ...record.Way) (Sample, bool) {
	return t.first(after, func(s Sample) bool {
		return s.Down() && (len(ways) == 0 || slices.Contains(ways, s.Way))
	})
}

// FirstUp is the first success of a request that was sent at or after the
// instant: an answer to an older request proves nothing about now.
func (t *Timeline) FirstUp(after time.Duration) (Sample, bool) {
	return t.first(after, func(s Sample) bool { return s.Way == record.Up })
}

func (t *Timeline) first(after time.Duration, wanted func(Sample) bool) (Sample, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rest := t.samples[t.from(after):]
	i := slices.IndexFunc(rest, wanted)
	if i < 0 {
		return Sample{}, false
	}
	return rest[i], true
}

// Resumed is the first success sent in [from, to) that no failure follows for the given time.
// It is false until that time has been observed. What was sent after to is not looked at: a
// request that hangs is in no timeline before its time-out, and successes around it are.
func (t *Timeline) Resumed(from, to, hold time.Duration) (Sample, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var candidate Sample
	found := false
	for _, s := range t.between(from, to) {
		if found && s.At-candidate.At >= hold {
			return candidate, true
		}
		switch {
		case s.Down():
			found = false
		case s.Way == record.Up && !found:
			candidate, found = s, true
		}
	}
	return Sample{}, false
}

// LastSuccess is the success that was sent last.
func (t *Timeline) LastSuccess() (Sample, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range slices.Backward(t.samples) {
		if s.Way == record.Up {
			return s, true
		}
	}
	return Sample{}, false
}

// LongestOutage is the longest time in [from, to] without the arrival of a
// success. The edges count: a time without any success is all outage.
func (t *Timeline) LongestOutage(from, to time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	var arrivals []time.Duration
	// A success may have been sent before the window and arrive in it.
	for _, s := range t.samples[:t.from(to)] {
		if done := s.Done(); s.Way == record.Up && done >= from && done <= to {
			arrivals = append(arrivals, done)
		}
	}
	slices.Sort(arrivals)
	return longestGap(arrivals, from, to)
}

// MaxGap is the longest time in [from, to] in which no sample was sent. A gap
// far beyond the interval says that the probe itself was starved.
func (t *Timeline) MaxGap(from, to time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	var sent []time.Duration
	for _, s := range t.between(from, to) {
		sent = append(sent, s.At)
	}
	return longestGap(sent, from, to)
}

// Taken counts the samples sent in [from, to) that were in time, and those that
// were due by the interval.
func (t *Timeline) Taken(from, to time.Duration) (taken, due int) {
	for way, count := range t.Ways(from, to) {
		if way != record.Starved {
			taken += count
		}
	}
	return taken, int(max(0, to-from) / t.interval)
}

// Seen counts the samples sent in [from, to) that tell something of the target.
func (t *Timeline) Seen(from, to time.Duration) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, s := range t.between(from, to) {
		if s.Way != record.Starved && !s.Blind {
			n++
		}
	}
	return n
}

// longestGap is the longest time between neighbours of a sorted list and its edges.
func longestGap(instants []time.Duration, from, to time.Duration) time.Duration {
	var longest time.Duration
	last := from
	for _, at := range append(instants, to) {
		longest = max(longest, at-last)
		last = at
	}
	return longest
}

// Ways counts the samples sent in [from, to) by what became of them.
func (t *Timeline) Ways(from, to time.Duration) map[record.Way]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	ways := map[record.Way]int{}
	for _, s := range t.between(from, to) {
		ways[s.Way]++
	}
	return ways
}

// Up counts the successes sent in [from, to).
func (t *Timeline) Up(from, to time.Duration) int { return t.Ways(from, to)[record.Up] }

// Down counts the failures sent in [from, to).
func (t *Timeline) Down(from, to time.Duration) int {
	n := 0
	for way, count := range t.Ways(from, to) {
		if (Sample{Way: way}).Down() {
			n += count
		}
	}
	return n
}

// SuccessRatio is the share of successes among the samples sent in [from, to)
// that say something about the target; 0 where there are none.
func (t *Timeline) SuccessRatio(from, to time.Duration) float64 {
	ways := t.Ways(from, to)
	all := 0
	for way, count := range ways {
		if way != record.Starved {
			all += count
		}
	}
	if all == 0 {
		return 0
	}
	return float64(ways[record.Up]) / float64(all)
}
