package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"faultline/clusters/progress"
)

// live returns the real engine, or skips the test.
func live(t *testing.T) *Engine {
	t.Helper()
	if os.Getenv("FAULTLINE_LIVE_TESTS") != "1" {
		t.Skip("needs a container engine: set FAULTLINE_LIVE_TESTS=1")
	}
	e, err := Ensure(t.Context(), Options{Progress: progress.New(os.Stderr)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestPrivilegedContainerStarts(t *testing.T) {
	e := live(t)
	if err := e.StartPrivileged(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]string{{"ps", "-aq"}, {"images", "-q"}} {
		out, err := e.Run(t.Context(), append(list, "--filter", "label="+probeLabel)...)
		if err != nil || len(out) > 0 {
			t.Errorf("left behind: %s, %v", out, err)
		}
	}
}

func TestEnsureAgainChangesNothing(t *testing.T) {
	live(t)
	before, _ := os.ReadFile(daemonJSON)
	began := time.Now()
	if _, err := Ensure(t.Context(), Options{Bootstrap: Never}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	if after, _ := os.ReadFile(daemonJSON); string(after) != string(before) {
		t.Errorf("%s changed", daemonJSON)
	}
}

func TestErrorsCarryTheCommandAndWhatItSaid(t *testing.T) {
	e := live(t)
	name := fmt.Sprintf("faultline-no-such-container-%d", os.Getpid())
	_, err := e.Exec(t.Context(), name, "true")
	var failed *CommandError
	if !errors.As(err, &failed) {
		t.Fatalf("err = %v, want a CommandError", err)
	}
	if want := e.Name() + " exec " + name + " true"; failed.Command() != want || !strings.Contains(strings.ToLower(failed.Stderr), "no such container") {
		t.Errorf("command %q, stderr %q", failed.Command(), failed.Stderr)
	}
}

func TestCancelledCommandEnds(t *testing.T) {
	e := live(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := e.Run(ctx, "events")
	if err == nil || time.Since(began) > 6*time.Second {
		t.Errorf("err %v after %v", err, time.Since(began))
	}
}

func TestDoctorPasses(t *testing.T) {
	live(t)
	checks := Doctor(t.Context(), Requirements{MemoryBytes: 1 << 20, DiskBytes: 1 << 20})
	var out strings.Builder
	if !Print(&out, checks) {
		t.Errorf("not healthy:\n%s", out.String())
	}
	t.Log("\n" + out.String())
	greedy := Doctor(t.Context(), Requirements{MemoryBytes: 1 << 60})
	if Print(&out, greedy) {
		t.Error("an exbibyte of memory was found")
	}
}
