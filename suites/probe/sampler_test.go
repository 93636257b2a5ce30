package probe

import (
	"context"
	"io"
	"log"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"faultline/reports/record"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func samplerOf(interval time.Duration, take func(context.Context) outcome) *sampler {
	return &sampler{
		clock: NewClock(), timeline: NewTimeline(Write, "n1", interval), timeout: 300 * ms, late: 250 * ms, inFlight: 4, take: take,
	}
}

// runFor lets a sampler run for a time and to its end.
func runFor(t *testing.T, s *sampler, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	s.run(ctx, s.clock.Now())
}

func TestASlowAnswerDelaysNoOtherSample(t *testing.T) {
	var n atomic.Int32
	s := samplerOf(20*ms, func(ctx context.Context) outcome {
		if n.Add(1) == 1 {
			<-ctx.Done()
			return failed(ctx.Err())
		}
		return up
	})
	runFor(t, s, time.Second)
	ways := s.timeline.Ways(0, time.Hour)
	if ways[record.TimedOut] != 1 {
		t.Errorf("%d samples timed out, want the first only", ways[record.TimedOut])
	}
	if ways[record.Up] < 20 {
		t.Errorf("%d samples beside a slow one, want about 50", ways[record.Up])
	}
	first := s.timeline.Samples(0, time.Hour)[0]
	if first.Way != record.TimedOut || first.Latency < 300*ms {
		t.Errorf("the first sample is %s after %v, want timed-out after 300 ms", first.Way, first.Latency)
	}
}

func TestTooManyInFlightCountAsTimedOut(t *testing.T) {
	s := samplerOf(10*ms, func(ctx context.Context) outcome { <-ctx.Done(); return failed(ctx.Err()) })
	runFor(t, s, 200*ms)
	ways := s.timeline.Ways(0, time.Hour)
	if ways[record.TimedOut] < 3 || ways[record.Starved] > 0 {
		t.Errorf("ways %v, want time-outs", ways)
	}
	if s, _ := s.timeline.FirstDown(0); !strings.Contains(s.Detail, "too many earlier samples") {
		t.Errorf("detail %q", s.Detail)
	}
}

func TestALateTickIsStarvedAndNotDown(t *testing.T) {
	s := samplerOf(10*ms, func(context.Context) outcome { return up })
	s.late = -1 // every tick is later than that
	runFor(t, s, 100*ms)
	if s.timeline.Ways(0, time.Hour)[record.Starved] == 0 {
		t.Error("no sample is starved")
	}
	if _, down := s.timeline.FirstDown(0); down {
		t.Error("a late tick counts as a failure")
	}
}

func TestWhatStoppingCutsIsNoFailure(t *testing.T) {
	s := samplerOf(10*ms, func(ctx context.Context) outcome { <-ctx.Done(); return failed(ctx.Err()) })
	s.timeout, s.inFlight = time.Minute, 1000
	runFor(t, s, 100*ms)
	if n := len(s.timeline.Samples(0, time.Hour)); n != 0 {
		t.Errorf("%d samples of requests that the stop cut", n)
	}
}
