package clusters

import (
	"context"
	"fmt"
	"time"
)

// Await calls check every interval until it returns nil. When ctx ends first,
// the error says what was awaited and why the last check failed.
func Await(ctx context.Context, interval time.Duration, what string, check func(context.Context) error) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	start := time.Now()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %.0f s for %s (%w): %w", time.Since(start).Seconds(), what, context.Cause(ctx), err)
		case <-ticker.C:
		}
	}
}
