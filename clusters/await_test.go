package clusters

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestAwaitTellsTheLastReasonThatWasNotCutOff(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	reason, first := errors.New("not yet"), true
	err := Await(ctx, time.Millisecond, "a thing", func(ctx context.Context) error {
		if first {
			first = false
			return reason
		}
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, reason) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestAwaitTellsWhatWasCutOffWhenThereIsNothingElse(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cutOff := errors.New("cut off")
	if err := Await(ctx, time.Hour, "a thing", func(context.Context) error { return cutOff }); !errors.Is(err, cutOff) {
		t.Errorf("got %v", err)
	}
}
