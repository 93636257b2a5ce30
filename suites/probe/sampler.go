package probe

import (
	"context"
	"sync"
	"time"

	"faultline/reports/record"
)

// outcome is what one sample learned.
type outcome struct {
	way    record.Way
	detail string
	// instant marks an outcome that was known without a request.
	instant bool
	// gone says that the object asked for, or the change of it, does not exist.
	gone bool
}

var up = outcome{way: record.Up}

func failed(err error) outcome {
	way, detail := ClassifyError(err)
	return outcome{way: way, detail: detail}
}

// sampler calls take at a steady pace and writes what it learns to a timeline.
type sampler struct {
	clock    Clock
	timeline *Timeline
	timeout  time.Duration
	late     time.Duration
	inFlight int
	take     func(context.Context) outcome
}

// run samples until ctx ends and returns when no sample is in flight any more.
// The first sample is due at the given instant.
func (s *sampler) run(ctx context.Context, due time.Duration) {
	crew := crew{jobs: make(chan struct{}), free: s.inFlight, work: func() { s.once(ctx) }}
	defer crew.dismiss()
	timer := time.NewTimer(due - s.clock.Now())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := s.clock.Now()
		if late := now - due; late > s.late {
			s.timeline.Add(Sample{At: due, Latency: late, Way: record.Starved, Detail: "the probe woke up late: this machine is short of CPU"})
		}
		// When too many are in flight, the target has failed to answer for long:
		// that sample counts as timed out.
		if !crew.start() {
			s.timeline.Add(Sample{At: now, Way: record.TimedOut, Detail: "too many earlier samples wait for an answer"})
		}
		// Ticks that were missed stay missed: a burst would measure nothing.
		due += s.timeline.interval * (1 + max(0, now-due)/s.timeline.interval)
		timer.Reset(due - s.clock.Now())
	}
}

// crew does the same work many times, several times at once. Its goroutines
// are kept: to grow the stack of a new one costs as much as the work.
type crew struct {
	jobs    chan struct{}
	free    int // goroutines that may still be started
	work    func()
	workers sync.WaitGroup
}

// start hands the work to somebody who is idle; false when all are busy.
func (c *crew) start() bool {
	select {
	case c.jobs <- struct{}{}:
		return true
	default:
	}
	if c.free == 0 {
		return false
	}
	c.free--
	c.workers.Go(func() {
		c.work()
		for range c.jobs {
			c.work()
		}
	})
	return true
}

// dismiss ends the crew and waits for the work under way.
func (c *crew) dismiss() {
	close(c.jobs)
	c.workers.Wait()
}

func (s *sampler) once(parent context.Context) {
	ctx, cancel := context.WithTimeout(parent, s.timeout)
	defer cancel()
	at := s.clock.Now()
	o := s.take(ctx)
	// What fails while the set stops was cut by us.
	if parent.Err() != nil && o.way != record.Up {
		return
	}
	sample := Sample{At: at, Way: o.way, Detail: o.detail}
	if !o.instant {
		sample.Latency = s.clock.Now() - at
	}
	s.timeline.Add(sample)
}
