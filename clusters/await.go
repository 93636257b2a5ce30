package clusters

import (
	"context"
	"fmt"
	"time"
)

// Await calls check every interval until it returns nil. When ctx ends first,
// the error says what was awaited and why the last check failed that ctx did not cut off.
func Await(ctx context.Context, interval time.Duration, what string, check func(context.Context) error) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	start := time.Now()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %.0f s for %s (%w): %w", time.Since(start).Seconds(), what, context.Cause(ctx), last)
		case <-ticker.C:
		}
	}
}
