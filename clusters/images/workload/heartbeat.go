package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// heartbeat prints a counter each interval, and writes it to a file if asked
// to, until ctx ends.
func heartbeat(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("heartbeat", flag.ContinueOnError)
	file := flags.String("file", "", "also write the counter to this file")
	interval := flags.Duration("interval", time.Second, "time between two beats")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var beats atomic.Int64
	return beat(ctx, *interval, &beats, func(n int64) error {
		line := fmt.Sprintf("heartbeat %d %s\n", n, time.Now().UTC().Format(time.RFC3339Nano))
		fmt.Print(line)
		if *file == "" {
			return nil
		}
		return os.WriteFile(*file, []byte(line), 0o644)
	})
}

// beat counts up each interval and tells the new count.
func beat(ctx context.Context, interval time.Duration, count *atomic.Int64, tell func(int64) error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := tell(count.Add(1)); err != nil {
				return err
			}
		}
	}
}
