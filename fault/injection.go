package fault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"faultline/clusters"
)

// undoTimeout limits one undo, also where the caller's context does not. The longest takes a
// removed member of etcd back.
const undoTimeout = 2 * time.Minute

// Instants are when an injection came to its states. They carry the monotonic clock's
// reading, so they can be subtracted from each other and from the caller's own.
type Instants struct {
	Planned, Armed time.Time
	// The action ran between Injecting and Injected. A signal takes effect between
	// the two; what the kubelet has to notice, between Injecting and Landed.
	Injecting, Injected time.Time
	// Landed is when the effect had been proved on the last target.
	Landed time.Time
	// The undo ran between Undoing and Undone.
	Undoing, Undone time.Time
	// Healed is when the last target was first seen well; it stayed so afterwards.
	Healed time.Time
}

// Injection is a fault that has landed.
type Injection struct {
	ID    string
	Fault Fault

	injector *Injector
	// effects are planned once, under mu: the guard of another injection may look at them then.
	effects  []effect
	deadline time.Time

	step sync.Mutex // held by the one step that is being taken

	mu       sync.Mutex // guards what follows
	state    State
	instants Instants
	proof    string
	// pretended: a sabotaged Undo lied, and the effect is still there.
	pretended bool
	// undone are the effects that are journalled as undone.
	undone map[string]bool
}

// State is how far the injection has come.
func (i *Injection) State() State {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.state
}

// Instants are when it came to its states; those to come are zero.
func (i *Injection) Instants() Instants {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.instants
}

// Proof is the evidence that the fault landed, a line for each target.
func (i *Injection) Proof() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.proof
}

// Deadline is about when the nodes undo the fault by themselves.
func (i *Injection) Deadline() time.Time { return i.deadline }

// Expired tells whether the nodes have undone the fault by themselves, because nobody else had
// by the deadline. What is seen after it is seen without the fault.
func (i *Injection) Expired() bool {
	until := i.Instants().Undoing
	if until.IsZero() {
		until = time.Now()
	}
	return i.Lasts() && until.After(i.deadline)
}

// Lasts tells whether the fault holds until it is undone. Else nothing outlives its action,
// and what it hit comes back by itself.
func (i *Injection) Lasts() bool {
	return slices.ContainsFunc(i.effects, func(e effect) bool { return e.undo != nil && !e.passes })
}

// Prove looks once more whether the fault is in effect on every target now, and
// returns the evidence.
func (i *Injection) Prove(ctx context.Context) (string, error) {
	proofs := make([]string, len(i.effects))
	err := each(i.effects, func(n int, e effect) (err error) {
		proofs[n], err = e.prove(ctx)
		return err
	})
	return strings.Join(proofs, "\n"), err
}

// Undo takes the fault back on every target. It may be called again: undone is undone,
// and after a failure it tries again what failed. A node that does not answer makes it fail after a
// time, and ctx may end it sooner.
func (i *Injection) Undo(ctx context.Context) error {
	i.step.Lock()
	defer i.step.Unlock()
	if i.injector.Sabotage.SkipUndo {
		return i.pretendUndone()
	}
	ctx, cancel := context.WithTimeout(ctx, undoTimeout)
	defer cancel()
	return i.undo(ctx)
}

// AwaitHealed waits until every target is well again. It needs an undone fault, and ctx
// limits it.
func (i *Injection) AwaitHealed(ctx context.Context) error {
	i.step.Lock()
	defer i.step.Unlock()
	if i.State() == Healed {
		return nil
	}
	if err := i.State().to(Healed); err != nil {
		return fmt.Errorf("%s: %w", i.Fault, err)
	}
	since := make([]time.Time, len(i.effects))
	err := each(i.effects, func(n int, e effect) (err error) {
		since[n], err = e.recovered(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: not healed: %w", i.Fault, err)
	}
	return i.enter(Healed, func(at *Instants) { at.Healed = latest(append(since, at.Undone)) })
}

// land takes the injection from planned to landed.
func (i *Injection) land(ctx context.Context) error {
	i.step.Lock()
	defer i.step.Unlock()
	if err := i.arm(ctx); err != nil {
		return fmt.Errorf("arm its undo on the nodes: %w", err)
	}
	if err := i.inject(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrNotLanded, err)
	}
	if err := i.awaitLanded(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrNotLanded, err)
	}
	return nil
}

func (i *Injection) arm(ctx context.Context) error {
	i.deadline = time.Now().Add(i.Fault.TTL)
	if err := i.enter(Armed, nil); err != nil {
		return err
	}
	err := each(i.effects, func(_ int, e effect) error {
		if e.undo == nil {
			return nil
		}
		for _, argv := range e.armCommands(i.Fault.TTL) {
			if err := e.run(ctx, argv); err != nil {
				return err
			}
		}
		return nil
	})
	i.mark(func(at *Instants) { at.Armed = time.Now() })
	return err
}

func (i *Injection) inject(ctx context.Context) error {
	if err := i.enter(Injected, nil); err != nil {
		return err
	}
	i.mark(func(at *Instants) { at.Injecting = time.Now() })
	err := each(i.effects, func(_ int, e effect) error {
		if i.injector.Sabotage.SkipInject {
			return nil
		}
		return e.act(ctx)
	})
	i.mark(func(at *Instants) { at.Injected = time.Now() })
	return err
}

// awaitLanded waits for the proof on every target.
func (i *Injection) awaitLanded(ctx context.Context) error {
	proofs := make([]string, len(i.effects))
	err := each(i.effects, func(n int, e effect) error {
		ctx, cancel := context.WithTimeout(ctx, e.landing)
		defer cancel()
		return clusters.Await(ctx, provePoll, "the proof of "+string(e.kind), func(ctx context.Context) (err error) {
			proofs[n], err = e.prove(ctx)
			return err
		})
	})
	if err != nil {
		return err
	}
	now := time.Now()
	i.mu.Lock()
	i.proof = strings.Join(proofs, "\n")
	i.mu.Unlock()
	return i.enter(Landed, func(at *Instants) { at.Landed = now })
}

// abort takes back what land has done. The context is not asked: it may be why land failed.
func (i *Injection) abort(ctx context.Context) error {
	if i.State() == Planned {
		i.injector.release(i)
		return nil
	}
	return i.restore(ctx)
}

// restore undoes the fault whatever the sabotage and the caller's context. Its limit begins when
// the step that is being taken is over.
func (i *Injection) restore(ctx context.Context) error {
	i.step.Lock()
	defer i.step.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	return i.undo(ctx)
}

// undo runs the undo of every effect and journals those that succeeded.
func (i *Injection) undo(ctx context.Context) error {
	if pending, err := i.undoPending(); !pending || err != nil {
		return err
	}
	undoing := time.Now()
	done := make([]bool, len(i.effects))
	failed := each(i.effects, func(n int, e effect) error {
		if e.undo != nil {
			if err := e.run(ctx, e.undo); err != nil {
				return err
			}
		}
		done[n] = true
		return nil
	})
	undone := time.Now()
	if err := errors.Join(failed, i.journalUndone(done)); err != nil {
		return fmt.Errorf("undo %s: %w; try again or run `make chaos-recover`, else the nodes undo it at %s",
			i.Fault, err, i.deadline.Format(time.TimeOnly))
	}
	i.mu.Lock()
	i.state, i.pretended = Undone, false
	i.instants.Undoing, i.instants.Undone = undoing, undone
	i.mu.Unlock()
	i.injector.release(i)
	return nil
}

// undoPending tells whether there is something to undo, or why there may not be.
func (i *Injection) undoPending() (bool, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.pretended:
		return true, nil
	case i.state == Undone || i.state == Healed:
		return false, nil
	}
	err := i.state.to(Undone)
	return err == nil, err
}

func (i *Injection) journalUndone(done []bool) error {
	if i.undone == nil {
		i.undone = map[string]bool{}
	}
	var records []Record
	for n, e := range i.effects {
		if done[n] && !i.undone[e.id] {
			records = append(records, i.record(e, Undone))
		}
	}
	if len(records) == 0 {
		return nil
	}
	if err := i.injector.journal.Append(records...); err != nil {
		return err
	}
	for _, r := range records {
		i.undone[r.ID] = true
	}
	return nil
}

// pretendUndone is a sabotaged Undo: the journal stays truthful.
func (i *Injection) pretendUndone() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.state == Undone || i.state == Healed {
		return nil
	}
	if err := i.state.to(Undone); err != nil {
		return err
	}
	i.state, i.pretended = Undone, true
	i.instants.Undoing = time.Now()
	i.instants.Undone = i.instants.Undoing
	return nil
}

// enter journals a state of all effects and then takes it.
func (i *Injection) enter(next State, note func(*Instants)) error {
	if err := i.State().to(next); err != nil {
		return err
	}
	var records []Record
	for _, e := range i.effects {
		records = append(records, i.record(e, next))
	}
	if err := i.injector.journal.Append(records...); err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.state = next
	if note != nil {
		note(&i.instants)
	}
	return nil
}

// latest is the last of the times.
func latest(times []time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }

func (i *Injection) mark(note func(*Instants)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	note(&i.instants)
}

func (i *Injection) record(e effect, state State) Record {
	r := Record{
		ID: e.id, Time: time.Now(),
		Cluster: i.injector.cluster.Name, Run: i.injector.cluster.Run, Node: e.node.Name,
		Fault: e.kind, Target: e.target, State: state, Undo: e.undo,
	}
	if e.undo != nil {
		r.TTLSeconds, r.Deadline = i.Fault.TTL.Seconds(), i.deadline
	}
	return r
}
