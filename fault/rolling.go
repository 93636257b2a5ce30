package fault

import (
	"context"
	"errors"
	"fmt"
)

// Rolling injects faults one after another, as somebody does who reboots one node after
// the other: each is undone as soon as it has landed, and the next waits until
// everything that it broke is well again. All of them are looked at before the first one
// changes anything.
//
// It stops at the first that fails, which is undone. The injections that it returns are
// those so far, in order. ctx limits it.
func (in *Injector) Rolling(ctx context.Context, faults ...Fault) (Chain, error) {
	if err := each(faults, func(_ int, f Fault) error { return f.Available(ctx) }); err != nil {
		return nil, fmt.Errorf("nothing was changed: %w", err)
	}
	var done Chain
	for n, f := range faults {
		i, err := in.Inject(ctx, f)
		if err != nil {
			return done, fmt.Errorf("number %d of %d: %w", n+1, len(faults), err)
		}
		done = append(done, i)
		if err := i.Undo(ctx); err != nil {
			return done, errors.Join(fmt.Errorf("number %d of %d: %w", n+1, len(faults), err), i.restore(ctx))
		}
		if err := i.AwaitHealed(ctx); err != nil {
			return done, fmt.Errorf("number %d of %d: %w", n+1, len(faults), err)
		}
	}
	return done, nil
}
