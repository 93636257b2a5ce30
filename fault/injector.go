package fault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"faultline/clusters"
)

// Sabotage makes the injector lie, so that a suite can show that its assertions turn
// red. Nothing but such a run sets it.
type Sabotage struct {
	// SkipInject arms and journals, and then does not act: Inject has to fail with
	// ErrNotLanded.
	SkipInject bool
	// SkipUndo makes Undo report success without undoing: AwaitHealed has to fail,
	// save for faults that have nothing to undo. The journal keeps the fault
	// open, and Restore, Recover and the node's timer still undo it.
	SkipUndo bool
}

// Injector injects faults into one cluster. It is safe for concurrent use.
type Injector struct {
	// Sabotage is for sabotage runs only; set it before the first injection.
	Sabotage Sabotage

	cluster *clusters.Cluster
	journal *Journal

	mu   sync.Mutex
	open []*Injection // in the order of injection
}

// NewInjector makes an injector that journals what it does.
func NewInjector(cluster *clusters.Cluster, journal *Journal) *Injector {
	return &Injector{cluster: cluster, journal: journal}
}

// ErrNotLanded says that a fault could not be proved to be in effect. It was undone.
var ErrNotLanded = errors.New("the fault is not proved to have landed")

// Inject takes a fault from planned to landed. It refuses, before anything is
// changed, targets that make no sense and targets that already bear a fault. Whatever
// fails later, the fault is undone before Inject returns, even when ctx has ended.
func (in *Injector) Inject(ctx context.Context, f Fault) (*Injection, error) {
	i, err := in.plan(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f, err)
	}
	if err := i.land(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", f, err), i.abort(ctx))
	}
	return i, nil
}

// Open lists the injections that have changed something and are not undone, the
// oldest first.
func (in *Injector) Open() []*Injection {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(in.open), func(i *Injection) bool { return i.State() == Planned })
}

// Restore undoes everything that is open, the latest first, whatever the sabotage.
// It is for cleaning up.
func (in *Injector) Restore(ctx context.Context) error {
	var errs []error
	for _, i := range slices.Backward(in.Open()) {
		errs = append(errs, i.restore(ctx))
	}
	return errors.Join(errs...)
}

// plan reserves the targets and looks at them.
func (in *Injector) plan(ctx context.Context, f Fault) (*Injection, error) {
	if err := f.validate(); err != nil {
		return nil, err
	}
	for _, p := range f.parts {
		if n, err := in.cluster.Node(p.node.Name); err != nil || n != p.node {
			return nil, fmt.Errorf("%s is not in the cluster %s", p.target, in.cluster.Name)
		}
	}
	i := &Injection{ID: newID(f.Kind), Fault: f, injector: in, state: Planned}
	if err := in.reserve(i); err != nil {
		return nil, err
	}
	var effects []effect
	err := both(
		func() (err error) { effects, err = f.plan(ctx, i.ID); return err },
		func() error { return in.guard(ctx, i) },
	)
	if err != nil {
		in.release(i)
		return nil, err
	}
	i.mark(func(at *Instants) { i.effects, at.Planned = effects, time.Now() })
	return i, nil
}

func newID(kind Kind) string { return string(kind) + "-" + strings.ToLower(rand.Text()[:10]) }

// reserve refuses targets that already bear a fault, of this process or of an earlier
// one in the same journal.
func (in *Injector) reserve(i *Injection) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	records, err := ReadJournal(in.journal.path)
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.Open() && r.Cluster == in.cluster.Name && slices.Contains(i.Fault.Targets(), r.Target) {
			return fmt.Errorf("%s already bears the fault %s (%s): undo it first, or after a crash run `make chaos-recover`",
				r.Target, r.ID, r.State)
		}
	}
	for _, other := range in.open {
		for _, t := range other.Fault.Targets() {
			if slices.Contains(i.Fault.Targets(), t) {
				return fmt.Errorf("%s already bears the fault %s: undo it first", t, other.ID)
			}
		}
	}
	in.open = append(in.open, i)
	return nil
}

func (in *Injector) release(i *Injection) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.open = slices.DeleteFunc(in.open, func(other *Injection) bool { return other == i })
}
