package fault

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"faultline/clusters"
)

// The faults on processes.
const (
	KindKill      Kind = "kill"
	KindTerminate Kind = "terminate"
	KindHoldDown  Kind = "hold-down"
	KindPause     Kind = "pause"
)

var processEntries = []Entry{
	{KindKill, "process", "any component", "", "none: it is restarted by the kubelet or systemd", "the process is gone"},
	{KindTerminate, "process", "any component", "", "none: it is restarted by the kubelet or systemd", "the process is gone"},
	{KindHoldDown, "process", "any component", "", "the loop that kills restarts is stopped", "the process is gone, and the loop runs"},
	{KindPause, "process", "any component", "", "SIGCONT", "the kernel calls the process stopped"},
	{KindStop, "process", "static pods", "", "the manifest is moved back", "manifest and process are gone"},
}

const (
	// signalLanding is generous for what the kernel does in milliseconds.
	signalLanding = 10 * time.Second
	// terminateLanding covers an API server that drains requests for its time-out of 60 s.
	terminateLanding = 75 * time.Second
	// settle is how long a process has to stay to count as well again.
	settle = 3 * time.Second
	// healingPoll is how often a node is asked whether its target is well again.
	healingPoll = 250 * time.Millisecond
	// provePoll is how often a proof is tried; a look at a process waits on the
	// node, so hardly any proof is tried twice.
	provePoll = 100 * time.Millisecond
)

// Kill ends the instances' processes once, with SIGKILL: no clean-up, no release of
// a lease, connections reset by the kernel. The signal comes from the node's PID
// namespace, an ancestor of the container's, so it works although the process is
// init of its own.
//
// Proof: the process, told by PID and start time, is gone. Undo: nothing is left to
// undo; the kubelet restarts a static pod's container (at once, then with
// back-off) and systemd restarts a service. Healed: another process runs and stays.
func Kill(instances ...clusters.Instance) Fault {
	return onInstances(KindKill, instances, signalOnce("KILL", signalLanding))
}

// Terminate asks the instances' processes to end, with SIGTERM: they finish requests
// and release leases. It reaches a container's init only because these components
// install a handler; the kernel drops other signals to an init that has none.
// Nobody sends SIGKILL after a grace period, unlike when a pod is deleted.
//
// Proof, undo and healing are those of Kill.
func Terminate(instances ...clusters.Instance) Fault {
	return onInstances(KindTerminate, instances, signalOnce("TERM", terminateLanding))
}

// HoldDown kills the instances' processes and goes on to kill what is restarted, ten
// times a second, until it is undone. To the kubelet it is a crash loop: the
// return after the undo may take the container's whole back-off
// (crashLoopBackOff.maxContainerRestartPeriod, 5 min by default).
//
// Proof: the process is gone, and the loop, a transient systemd unit on the node, is
// active. Undo: the unit is stopped. Healed: another process runs and stays.
func HoldDown(instances ...clusters.Instance) Fault {
	return onInstances(KindHoldDown, instances, planHoldDown)
}

// Pause freezes the instances' processes with SIGSTOP, which cannot be caught. The
// kernel keeps their sockets: it still accepts connections, and nobody answers.
// The kubelet's liveness probe ends a paused static pod after kubeadm's 8
// failures, 10 s apart, and the grace period of 30 s; SIGKILL ends a stopped
// process too. So a pause holds for about 80 s to 110 s, however long its TTL is.
//
// Proof: the kernel calls the process stopped (state T). Undo: SIGCONT to exactly
// that process, if it is still there. Healed: it runs, or one that replaced it.
func Pause(instances ...clusters.Instance) Fault {
	return onInstances(KindPause, instances, planPause)
}

// same tells whether PID $1 is still the process that started at $2. A comm may
// hold blanks and parentheses, so it is dropped before fields are counted.
const same = `same() { [ "$(sed 's/(.*)/_/' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f22)" = "$2" ]; }
gone() { echo "process $1 is gone already: try again" >&2; exit 1; }
`

// signalScript sends $1 to PID $2 that started at $3.
const signalScript = same + `same "$2" "$3" || gone "$2"
kill -s "$1" "$2"
`

// pauseScript stops PID $2 that started at $3, for the fault $1.
const pauseScript = enter + armed + same + `same "$2" "$3" || gone "$2"
kill -s STOP "$2"
`

// resumeScript undoes pauseScript. The process may die between the two commands.
const resumeScript = enter + same + `if same "$2" "$3"; then kill -s CONT "$2" || true; fi
` + leave

// holdScript kills PID $2 that started at $3, and whatever bears its name from then
// on, for the fault $1.
const holdScript = enter + armed + same + `same "$2" "$3" || gone "$2"
name=$(cat "/proc/$2/comm")
kill -s KILL "$2"
systemd-run --quiet --collect --unit="faultline-hold-$1" -- \
  sh -c 'while :; do pkill -KILL -x "$1"; sleep 0.1; done' faultline "$name"
`

// releaseScript undoes holdScript. Status 5 of systemctl: there is no such unit.
const releaseScript = enter + `systemctl stop "faultline-hold-$1.service" 2>/dev/null || [ $? -eq 5 ]
` + leave

// watchScript waits up to a second, on the node, for PID $1 that started at $2 to
// end or to stop, and prints state and start of what has the PID then, if anything.
const watchScript = `for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  now=$(sed 's/(.*)/_/' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f3,22)
  case "$now" in
    [!TZX]" $2") sleep 0.05 ;;
    *) break ;;
  esac
done
echo "$now"
`

// signalOnce plans a signal that leaves nothing to undo.
func signalOnce(signal string, landing time.Duration) planner {
	return func(ctx context.Context, i clusters.Instance, _ string) (effect, error) {
		p, err := running(ctx, i)
		if err != nil {
			return effect{}, err
		}
		return effect{
			inject:    command(signalScript, append([]string{signal}, identity(p)...)...),
			prove:     func(ctx context.Context) (string, error) { return proveGone(ctx, i, p) },
			landing:   landing,
			recovered: stays(i, isNot(p)),
		}, nil
	}
}

func planHoldDown(ctx context.Context, i clusters.Instance, id string) (effect, error) {
	p, err := running(ctx, i)
	if err != nil {
		return effect{}, err
	}
	return effect{
		inject: command(holdScript, append([]string{id}, identity(p)...)...),
		undo:   command(releaseScript, id),
		prove: func(ctx context.Context) (string, error) {
			if _, err := i.Node.Exec(ctx, "systemctl", "is-active", holdUnit(id)); err != nil {
				return "", fmt.Errorf("the loop that keeps %s down does not run: %w", i, err)
			}
			proof, err := proveGone(ctx, i, p)
			if err != nil {
				return "", err
			}
			return proof + ", and its restarts are killed by " + holdUnit(id), nil
		},
		landing:   signalLanding,
		recovered: stays(i, isNot(p)),
	}, nil
}

func holdUnit(id string) string { return "faultline-hold-" + id + ".service" }

func planPause(ctx context.Context, i clusters.Instance, id string) (effect, error) {
	p, err := running(ctx, i)
	if err != nil {
		return effect{}, err
	}
	args := append([]string{id}, identity(p)...)
	return effect{
		inject:    command(pauseScript, args...),
		undo:      command(resumeScript, args...),
		prove:     func(ctx context.Context) (string, error) { return proveStopped(ctx, i, p) },
		landing:   signalLanding,
		recovered: stays(i, func(clusters.Process) bool { return true }),
	}, nil
}

// running is the instance's process, which must be there and not be stopped.
func running(ctx context.Context, i clusters.Instance) (clusters.Process, error) {
	p, err := i.Process(ctx)
	if errors.Is(err, clusters.ErrNoProcess) {
		return p, fmt.Errorf("%w: it is down already, so there is nothing to break", err)
	}
	if err == nil && p.State == "T" {
		return p, fmt.Errorf("process %d of %s is stopped (state T) already: resume it first, with `kill -CONT %d` on %s",
			p.PID, i, p.PID, i.Node.Name)
	}
	return p, err
}

// identity tells a process to the scripts: a PID alone may be used again.
func identity(p clusters.Process) []string {
	return []string{strconv.Itoa(p.PID), strconv.FormatUint(p.StartTicks, 10)}
}

func proveGone(ctx context.Context, i clusters.Instance, p clusters.Process) (string, error) {
	state, there, err := watch(ctx, i, p)
	if err != nil {
		return "", err
	}
	if there {
		return "", fmt.Errorf("process %d of %s is still there (state %s)", p.PID, i, state)
	}
	return fmt.Sprintf("process %d of %s (start %d) is gone", p.PID, i, p.StartTicks), nil
}

func proveStopped(ctx context.Context, i clusters.Instance, p clusters.Process) (string, error) {
	state, there, err := watch(ctx, i, p)
	if err != nil {
		return "", err
	}
	if !there || state != "T" {
		return "", fmt.Errorf("process %d of %s is not stopped (there: %t, state %q)", p.PID, i, there, state)
	}
	return fmt.Sprintf("process %d of %s (start %d) is stopped, state T", p.PID, i, p.StartTicks), nil
}

// watch tells the process's state and whether it still exists. A zombie does not:
// it is dead and waits for its parent.
func watch(ctx context.Context, i clusters.Instance, p clusters.Process) (state string, there bool, err error) {
	out, err := i.Node.Exec(ctx, command(watchScript, identity(p)...)...)
	if err != nil {
		return "", false, fmt.Errorf("look at process %d of %s: %w", p.PID, i, err)
	}
	f := strings.Fields(string(out))
	if len(f) == 0 {
		return "", false, nil
	}
	if len(f) != 2 {
		return "", false, fmt.Errorf("look at process %d of %s: got %q, want state and start", p.PID, i, out)
	}
	there = f[1] == strconv.FormatUint(p.StartTicks, 10) && f[0] != "Z" && f[0] != "X"
	return f[0], there, nil
}

// isNot accepts every process but one.
func isNot(old clusters.Process) func(clusters.Process) bool {
	return func(p clusters.Process) bool { return p.PID != old.PID || p.StartTicks != old.StartTicks }
}

// stays waits until an acceptable process has run for the time settle, and returns
// when it was first seen.
func stays(i clusters.Instance, accept func(clusters.Process) bool) func(context.Context) (time.Time, error) {
	return func(ctx context.Context) (time.Time, error) {
		var seen clusters.Process
		var since time.Time
		err := clusters.Await(ctx, healingPoll, i.String()+" to run and stay", func(ctx context.Context) error {
			p, err := i.Process(ctx)
			switch {
			case err != nil:
				since = time.Time{}
				return err
			case p.State == "T" || !accept(p):
				since = time.Time{}
				return fmt.Errorf("process %d (state %s) is the broken one", p.PID, p.State)
			case since.IsZero() || p.PID != seen.PID || p.StartTicks != seen.StartTicks:
				seen, since = p, time.Now()
			}
			if time.Since(since) < settle {
				return fmt.Errorf("process %d has not stayed for %s yet", p.PID, settle)
			}
			return nil
		})
		return since, err
	}
}
