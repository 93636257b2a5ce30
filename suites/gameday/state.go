package gameday

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"faultline/suites/gameday/page"
	"faultline/suites/gameday/plan"
	"faultline/suites/gameday/stop"
)

// decision is what people say to an experiment that waits.
type decision string

const (
	approved decision = "approved"
	skipped  decision = "skipped"
)

// state is what everybody who watches a game day sees of it, and how they take part. It
// implements page.Actions.
type state struct {
	mu      sync.Mutex
	shown   page.Snapshot
	waiting chan decision // nil unless an experiment waits
	// current is the experiment that breaks something, nil if none does, and margin how many
	// members of etcd may be lost while it does.
	current *plan.Experiment
	margin  int
	// abort ends the day's context with what was said.
	abort   context.CancelCauseFunc
	aborted time.Time
}

// errAborted says that a stop condition was met, or that somebody said so.
var errAborted = errors.New("aborted")

func newState(cluster, server string, abort context.CancelCauseFunc) *state {
	return &state{abort: abort, margin: noMargin, shown: page.Snapshot{Cluster: cluster, Server: server, Phase: page.Preparing}}
}

// noMargin is the margin while nothing is broken on purpose: it lowers no limit.
const noMargin = math.MaxInt

// begin says which experiment breaks something from now on, and underway which one does.
func (s *state) begin(e *plan.Experiment, margin int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.margin = e, margin
}

func (s *state) underway() (*plan.Experiment, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current, s.margin
}

// update changes what is shown.
func (s *state) update(change func(*page.Snapshot)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.shown)
}

// enter shows a phase and what happens in it.
func (s *state) enter(phase page.Phase, format string, args ...any) {
	s.update(func(p *page.Snapshot) { p.Phase, p.Message = phase, fmt.Sprintf(format, args...) })
}

// snapshot is a copy of what is shown now.
func (s *state) snapshot() page.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.shown
	p.Now = time.Now()
	p.Notes, p.Done = slices.Clone(p.Notes), slices.Clone(p.Done)
	if p.Experiment != nil {
		e := *p.Experiment
		p.Experiment = &e
	}
	return p
}

// ask lets people decide on an experiment from now on. Their word comes over the channel.
func (s *state) ask() <-chan decision {
	said := make(chan decision, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = said
	return said
}

// await waits for what people say to the experiment that is shown.
func (s *state) await(ctx context.Context, said <-chan decision) (decision, error) {
	defer func() {
		s.mu.Lock()
		s.waiting = nil
		s.mu.Unlock()
	}()
	select {
	case d := <-said:
		return d, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// Approve lets the experiment that waits break something.
func (s *state) Approve(experiment string) error { return s.decide(experiment, approved) }

// Skip leaves the experiment that waits out.
func (s *state) Skip(experiment string) error { return s.decide(experiment, skipped) }

func (s *state) decide(experiment string, d decision) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil || s.shown.Experiment == nil {
		return errors.New("no experiment waits for approval now")
	}
	if s.shown.Experiment.ID != experiment {
		return fmt.Errorf("experiment %s waits for approval, not %s", s.shown.Experiment.ID, experiment)
	}
	select {
	case s.waiting <- d:
		return nil
	default:
		return errors.New("it has been decided already")
	}
}

// Abort undoes everything at once, and ends the day. The first reason stays.
func (s *state) Abort(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown.Aborted != "" {
		return
	}
	s.shown.Aborted, s.aborted = reason, time.Now()
	s.abort(fmt.Errorf("%w: %s", errAborted, reason))
}

// stand aborts the day when a stop condition is met.
func (s *state) stand(ctx context.Context, findings func() []stop.Finding) {
	ticker := time.NewTicker(judgeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, f := range findings() {
			if f.Met && ctx.Err() == nil {
				s.Abort(fmt.Sprintf("stop condition %s: %s, limit %s", f.Name, f.Value, f.Limit))
			}
		}
	}
}

// abortedAt is when the day was aborted, and why; the zero time if it was not.
func (s *state) abortedAt() (time.Time, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.aborted, s.shown.Aborted
}

// Note keeps what somebody wrote down.
func (s *state) Note(text string) error {
	s.update(func(p *page.Snapshot) { p.Notes = append(p.Notes, page.Note{At: time.Now(), Text: text}) })
	return nil
}
