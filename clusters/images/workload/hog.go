package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
)

// hog takes what it can get, until ctx ends: the time of every CPU, and memory that it keeps,
// of which it tells how much it has.
func hog(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("hog", flag.ContinueOnError)
	busy := flags.Bool("cpu", false, "take the time of every CPU")
	memory := flags.Int("memory", 0, "MiB of memory to take")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *busy {
		// Go would use as many as a limit allows, and a hog minds no limit.
		runtime.GOMAXPROCS(runtime.NumCPU() + 1)
		for range runtime.NumCPU() {
			go neverRest(ctx)
		}
	}
	kept := take(ctx, *memory, os.Stdout)
	<-ctx.Done()
	runtime.KeepAlive(kept)
	return nil
}

func neverRest(ctx context.Context) {
	for ctx.Err() == nil {
	}
}

// take takes so many MiB, and says after each how many it has.
func take(ctx context.Context, mebibytes int, out io.Writer) [][]byte {
	var kept [][]byte
	for ctx.Err() == nil && len(kept) < mebibytes {
		block := make([]byte, 1<<20)
		for at := 0; at < len(block); at += os.Getpagesize() {
			block[at] = 1 // else the kernel only promises it
		}
		kept = append(kept, block)
		fmt.Fprintf(out, "has %d MiB\n", len(kept))
	}
	return kept
}
