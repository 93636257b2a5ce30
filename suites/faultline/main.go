// Command faultline is what the Makefile's verbs call: it prepares the
// machine, runs the suite, and renders, recovers and cleans up.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"faultline/reports/record"
)

// verb is one word of the command line.
type verb struct {
	name string
	does string
	run  func(ctx context.Context) error
}

var verbs = []verb{
	{"chaos", "run the suite and judge every claim", chaos},
	{"nightly", "chaos with Kubernetes' default settings, every tier and the gate", nightly},
	{"plan", "show what chaos would run, and change nothing", plan},
	{"recover", "undo the faults that a killed run left behind", recoverFaults},
	{"gameday-consent", "print the object with which the owner of a cluster allows a game day", gamedayConsent},
	{"gameday-plan", "plan a game day on an existing cluster, and change nothing", gamedayPlan},
	{"gameday", "carry a plan out, step by step", runGameday},
	{"report", "render and judge the newest run again, or merge those of FAULTLINE_RECORDS", report},
	{"topologies", "list every documented layout", topologies},
	{"faults", "list every fault", faults},
	{"up", "create a cluster of the layout TOPOLOGY and keep it", up},
	{"down", "end the cluster that up created", down},
	{"bench", "measure how layouts come up, beside plain kind", benchTopologies},
	{"bench-faults", "measure how long faults take to land, beside the bare engine", benchFaults},
	{"doctor", "check this machine", doctor},
	{"images", "pull or build the images", prepareImages},
	{"compiler", "make sure that the race detector finds a C compiler", compiler},
	{"clean", "remove everything of every run", clean},
	{"reap", "remove what a run leaves once it has ended; chaos starts it", reap},
	{"reap-gameday", "undo what a killed game day leaves; gameday starts it", reapGameday},
}

// exitError carries the exit status of a verdict that has been printed already.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// refusal is an error that came before anything was changed.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// statusOf keeps an error of the command apart from what a run has found.
func statusOf(err error) int {
	var status exitError
	var refused refusal
	switch {
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &refused):
		return record.OutcomeRefused.ExitStatus()
	default:
		return record.OutcomeHarnessError.ExitStatus()
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := dispatch(ctx, os.Args[1:])
	stop()
	if err == nil {
		return
	}
	var printed exitError
	if !errors.As(err, &printed) {
		fmt.Fprintln(os.Stderr, "faultline:", err)
	}
	os.Exit(statusOf(err))
}

func dispatch(ctx context.Context, args []string) error {
	var names []string
	for _, v := range verbs {
		names = append(names, v.name)
	}
	if len(args) != 1 || !slices.Contains(names, args[0]) {
		return fmt.Errorf("want one of: %s", strings.Join(names, ", "))
	}
	return verbs[slices.Index(names, args[0])].run(ctx)
}
