package gameday

import (
	"context"
	"errors"
	"strings"
	"testing"

	"faultline/suites/gameday/page"
	"faultline/suites/gameday/plan"
)

// waiting is a state in which an experiment waits for approval, and what is said to it.
func waiting(t *testing.T) (*state, context.Context, chan decision) {
	t.Helper()
	ctx, abort := context.WithCancelCause(t.Context())
	s := newState("staging", "https://x", abort)
	s.update(func(p *page.Snapshot) { p.Experiment = &page.Experiment{ID: "api-server"} })
	said := make(chan decision, 1)
	answer := s.ask()
	go func() {
		d, _ := s.await(ctx, answer)
		said <- d
	}()
	return s, ctx, said
}

func TestApprovalIsForTheExperimentThatWaits(t *testing.T) {
	s, _, said := waiting(t)
	if err := s.Approve("worker"); err == nil {
		t.Error("another experiment than the one that waits is approved")
	}
	if err := s.Approve("api-server"); err != nil {
		t.Fatal(err)
	}
	if d := <-said; d != approved {
		t.Errorf("said %q", d)
	}
	if err := s.Approve("api-server"); err == nil {
		t.Error("what waits no more is approved again")
	}
}

func TestAbortEndsTheDayOnce(t *testing.T) {
	s, ctx, said := waiting(t)
	s.Abort("enough")
	s.Abort("again")
	if d := <-said; d != "" {
		t.Errorf("an aborted day goes on with %q", d)
	}
	if err := context.Cause(ctx); !errors.Is(err, errAborted) || !strings.Contains(err.Error(), "enough") {
		t.Errorf("the day ended with %v", err)
	}
	if at, why := s.abortedAt(); why != "enough" || at.IsZero() {
		t.Errorf("aborted at %s: %q", at, why)
	}
}

func TestTerminal(t *testing.T) {
	for _, test := range []struct {
		typed   string
		broken  bool
		said    decision
		aborted bool
		told    string
	}{
		{typed: "approve\n", said: approved},
		{typed: "skip\n", said: skipped},
		{typed: "\napprove\n", said: approved}, // Enter means nothing while nothing is broken
		{typed: "abort\n", aborted: true},
		{typed: "\n", broken: true, aborted: true},
		{typed: "aprove\nskip\n", said: skipped, told: `"aprove" is not known`},
	} {
		s, _, said := waiting(t)
		if test.broken {
			s.begin(&plan.Experiment{}, 0)
		}
		var out strings.Builder
		newTerminal(s, strings.NewReader(test.typed), &out).read()
		if d := <-said; d != test.said {
			t.Errorf("%q says %q, want %q", test.typed, d, test.said)
		}
		if _, why := s.abortedAt(); (why != "") != test.aborted {
			t.Errorf("%q aborts: %q", test.typed, why)
		}
		if !strings.Contains(out.String(), test.told) {
			t.Errorf("%q is answered with %q", test.typed, out.String())
		}
	}
}

func TestNotesAreKept(t *testing.T) {
	s, _, _ := waiting(t)
	var out strings.Builder
	newTerminal(s, strings.NewReader("note the graph is flat | so far\nskip\n"), &out).read()
	notes := s.snapshot().Notes
	if len(notes) != 1 || notes[0].Text != "the graph is flat | so far" {
		t.Errorf("notes %+v", notes)
	}
}
