package fault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// KindTogether is several faults at once. Journals name each by its own kind.
const KindTogether Kind = "together"

var composedEntries = []Entry{
	{KindTogether, "composition", "what its faults hit, each target once", "what its faults need", "that of each of its faults, all at once", "that of each of its faults"},
}

// Together is several faults as one: all targets are looked at before any is hit, then
// they are hit at the same time. The shortest TTL holds for all, so that no half of it
// is left. What one of them names with Losing is meant for all.
func Together(faults ...Fault) Fault {
	all := Fault{Kind: KindTogether, TTL: maxTTL}
	for _, f := range faults {
		all.TTL = min(all.TTL, f.TTL)
		all.parts = append(all.parts, f.parts...)
		all.losing = append(all.losing, f.losing...)
	}
	return all
}

// Chain is several injections, one after another.
type Chain []*Injection

// Sequence injects faults one after another, each when the one before has landed. When
// one does not land, those before it are undone.
func (in *Injector) Sequence(ctx context.Context, faults ...Fault) (Chain, error) {
	var chain Chain
	for n, f := range faults {
		i, err := in.Inject(ctx, f)
		if err != nil {
			err = fmt.Errorf("fault %d of %d: %w", n+1, len(faults), err)
			return nil, errors.Join(err, chain.restore(ctx))
		}
		chain = append(chain, i)
	}
	return chain, nil
}

// Undo undoes the last first. It tries all of them.
func (c Chain) Undo(ctx context.Context) error {
	var errs []error
	for _, i := range slices.Backward(c) {
		errs = append(errs, i.Undo(ctx))
	}
	return errors.Join(errs...)
}

// AwaitHealed waits until the targets of all of them are well again.
func (c Chain) AwaitHealed(ctx context.Context) error {
	var errs []error
	for _, i := range c {
		errs = append(errs, i.AwaitHealed(ctx))
	}
	return errors.Join(errs...)
}

// restore undoes whatever became of ctx.
func (c Chain) restore(ctx context.Context) error {
	var errs []error
	for _, i := range slices.Backward(c) {
		errs = append(errs, i.restore(ctx))
	}
	return errors.Join(errs...)
}

// Step is a fault that is held for a while, and the rest after it.
type Step struct {
	Fault Fault
	// Hold counts from the landing to the undo, Rest from there to the next step.
	Hold, Rest time.Duration
}

// Repeat is the same fault several times: a component or a link that flaps.
func Repeat(f Fault, times int, hold, rest time.Duration) []Step {
	return slices.Repeat([]Step{{f, hold, rest}}, times)
}

// Ramp is faults of growing strength, each held as long: packet loss of 10, 30 and 60 per
// cent, say. A target bears one fault at a time, so each is undone before the next.
func Ramp(hold time.Duration, faults ...Fault) []Step {
	var steps []Step
	for _, f := range faults {
		steps = append(steps, Step{Fault: f, Hold: hold})
	}
	return steps
}

// Play injects, holds and undoes one step after another. It refuses, before the first, a
// step whose TTL would end its fault too early. When a step fails, or ctx ends, nothing
// stays in effect; the injections so far are returned all the same.
func (in *Injector) Play(ctx context.Context, steps ...Step) (Chain, error) {
	for n, s := range steps {
		if s.Hold < 0 || s.Rest < 0 || s.Hold >= s.Fault.TTL {
			return nil, fmt.Errorf("step %d of %d, %s: held for %s and rested for %s with a TTL of %s: want none below zero, and a longer TTL",
				n+1, len(steps), s.Fault, s.Hold, s.Rest, s.Fault.TTL)
		}
	}
	var chain Chain
	for n, s := range steps {
		i, err := in.Inject(ctx, s.Fault)
		if err == nil {
			chain = append(chain, i)
			err = errors.Join(pause(ctx, s.Hold), i.Undo(context.WithoutCancel(ctx)))
		}
		if err == nil {
			err = pause(ctx, s.Rest)
		}
		if err != nil {
			return chain, fmt.Errorf("step %d of %d: %w", n+1, len(steps), err)
		}
	}
	return chain, nil
}

// pause lets time pass, which is what a step is about.
func pause(ctx context.Context, length time.Duration) error {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
