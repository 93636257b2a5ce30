package main

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestPacketsAreHeldInOrder(t *testing.T) {
	randoms := []time.Duration{30 * time.Millisecond, 0, 10 * time.Millisecond}
	hold := line(100*time.Millisecond, 40*time.Millisecond, func(limit time.Duration) time.Duration {
		if limit != 40*time.Millisecond {
			t.Errorf("random up to %s, want the jitter", limit)
		}
		first := randoms[0]
		randoms = randoms[1:]
		return first
	})
	start := time.Now()
	want := []time.Duration{130 * time.Millisecond, 130 * time.Millisecond, 160 * time.Millisecond}
	for n, arrived := range []time.Duration{0, time.Millisecond, 50 * time.Millisecond} {
		if due := hold(start.Add(arrived)).Sub(start); due != want[n] {
			t.Errorf("packet %d is due after %s, want %s", n, due, want[n])
		}
	}
	fixed := line(time.Second, 0, func(time.Duration) time.Duration { t.Error("there is no jitter"); return 0 })
	if due := fixed(start).Sub(start); due != time.Second {
		t.Errorf("due after %s, want 1s", due)
	}
}

func TestPacketsAreReleasedWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		held := make(chan packet, 3)
		start := time.Now()
		for n := range 3 {
			held <- packet{uint32(n), start.Add(time.Duration(n) * time.Second)}
		}
		var after []time.Duration
		err := release(ctx, held, nil, func(id uint32) error {
			after = append(after, time.Since(start))
			if id == 2 {
				cancel()
			}
			return nil
		})
		if want := []time.Duration{0, time.Second, 2 * time.Second}; err != nil || !slices.Equal(after, want) {
			t.Errorf("released after %v (%v), want %v", after, err, want)
		}
	})
}

func TestAQueueThatBreaksIsAnError(t *testing.T) {
	broken := errors.New("broken")
	failed := make(chan error, 1)
	failed <- broken
	if err := release(t.Context(), nil, failed, nil); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
