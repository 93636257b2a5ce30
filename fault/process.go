package fault

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	{KindKill, "process", "any component", "", "none: it is restarted; a service that systemd does not restart is started", "the process is gone"},
	{KindTerminate, "process", "any component but kind's load balancer", "", "none: it is restarted; a service that systemd does not restart is started", "the process is gone"},
	{KindHoldDown, "process", "any component", "", "the loop that kills restarts is stopped", "the process is gone, and the loop runs"},
	{KindPause, "process", "any component", "", "SIGCONT", "the kernel calls the process stopped"},
	{KindStop, "process", "static pods", "", "the manifest is moved back", "manifest and process are gone"},
	{KindCrashLoop, "process", "static pods, and etcd, kubelet and containerd as services", "", "manifest or settings are put back", "it exits again and again, and its log names the bad flag"},
	{KindStopService, "process", "services of systemd", "", "its condition is taken away and the service started", "the service is inactive, and what starts it is refused"},
	{KindKillContainers, "process", "containerd", "", "none: systemd and the kubelet restart everything", "every shim and every container is gone"},
	{KindStopContainers, "process", "containerd", "", "containerd is started, and the kubelet restarts everything", "the service is inactive, and every container is gone"},
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
// init of its own. Of containerd only the daemon dies: its shims, one for each pod, are
// no children of it, and the containers run on. KillContainers takes them too.
//
// Proof: the process, told by PID and start time, is gone. Undo: nothing is left to
// undo; the kubelet restarts a pod's container (at once, then with back-off) and systemd
// restarts a service; kind's load balancer restarts after 1 s by a loop of its own. A
// service that systemd does not restart (Restart=no, as Debian's keepalived) is started.
// Healed: another process runs and stays.
func Kill(instances ...clusters.Instance) Fault {
	return onInstances(KindKill, instances, signalOnce("KILL", signalLanding))
}

// Terminate asks the instances' processes to end, with SIGTERM: they finish requests
// and release leases. It reaches a container's init only because these components
// install a handler; the kernel drops other signals to an init that has none.
// Nobody sends SIGKILL after a grace period, unlike when a pod is deleted. kind's load
// balancer is refused: it would exit with status 0, which ends its container for good.
//
// Proof, undo and healing are those of Kill.
func Terminate(instances ...clusters.Instance) Fault {
	return onInstances(KindTerminate, instances, signalOnce("TERM", terminateLanding))
}

// HoldDown kills the instances' processes and goes on to kill what is restarted, ten
// times a second, until it is undone. To the kubelet it is a crash loop: the
// return after the undo may take the container's whole back-off
// (crashLoopBackOff.maxContainerRestartPeriod, 5 min by default). systemd gives a service
// up that ends too often (StartLimitBurst, 5 times in 10 s by default), so that the undo
// has to start it.
//
// Proof: the process is gone, and the loop, a transient systemd unit on the node, is
// active. Undo: the unit is stopped and a service started. Healed: another process runs
// and stays.
func HoldDown(instances ...clusters.Instance) Fault {
	return onInstances(KindHoldDown, instances, planHoldDown)
}

// Pause freezes the instances' processes with SIGSTOP, which cannot be caught. The
// kernel keeps their sockets: it still accepts connections, and nobody answers.
// The kubelet's liveness probe ends a paused static pod after kubeadm's 8
// failures, 10 s apart, and the grace period of 30 s; SIGKILL ends a stopped
// process too. So a pause holds for about 80 s to 110 s, however long its TTL is; that of
// CoreDNS, with 5 failures, for about 50 s to 80 s. kube-proxy has no such probe.
//
// Proof: the kernel calls the process stopped (state T). Undo: SIGCONT to exactly
// that process, if it is still there. Healed: it runs, or one that replaced it.
func Pause(instances ...clusters.Instance) Fault {
	return onInstances(KindPause, instances, planPause)
}

// same tells whether PID $1 is still the process that started at $2. all demands
// that of each pair of PID and start that it is given, and signal sends $1 to those pairs
// that follow: the end of one process may have ended others.
const same = clusters.ProcStatFunction + `same() { procstat "$1"; [ "$start" = "$2" ]; }
gone() { echo "process $1 is gone already: try again" >&2; exit 1; }
all() { while [ $# -gt 0 ]; do same "$1" "$2" || gone "$1"; shift 2; done; }
signal() {
  s=$1
  shift
  while [ $# -gt 0 ]; do
    if same "$1" "$2"; then kill -s "$s" "$1" || true; fi
    shift 2
  done
}
`

// signalScript sends $1 to the processes that follow as pairs of PID and start.
const signalScript = same + `which=$1
shift
all "$@"
signal "$which" "$@"
`

// downScript is signalScript for the fault $1, which somebody has to undo.
const downScript = enter + armed + same + `which=$2
shift 2
all "$@"
signal "$which" "$@"
`

// startScript undoes downScript for the service $2.
const startScript = enter + booted + startAgain + leave

// startAgain starts the service $2, if it is one, also when systemd has given it up.
const startAgain = `if [ "$2" ]; then
  systemctl reset-failed "$2" 2>/dev/null || true
  systemctl start --no-block "$2"
fi
`

// pauseScript stops the processes that follow the fault $1 as pairs of PID and start.
const pauseScript = enter + armed + same + `shift
all "$@"
signal STOP "$@"
`

// resumeScript undoes pauseScript.
const resumeScript = enter + same + `id=$1
shift
signal CONT "$@"
set -- "$id"
` + leave

// holdLoop kills whatever $1 finds with the arguments that follow.
const holdLoop = `while :; do
  sh -c "$@" | while read -r pid rest; do kill -s KILL "$pid"; done
  sleep 0.1
done`

// holdScript kills processes, and whatever bears their name from then on, for the fault
// $1. $2 is holdLoop, $3 to $7 its arguments, and pairs of PID and start follow.
const holdScript = enter + armed + same + `unit=faultline-hold-$1 loop=$2 list=$3 argv0=$4 name=$5 copy=$6 host=$7
shift 7
all "$@"
signal KILL "$@"
systemd-run --quiet --collect --unit="$unit" --description="$unit" -- sh -c "$loop" "$unit" "$list" "$argv0" "$name" "$copy" "$host"
`

// releaseScript undoes holdScript. $2 is the service that systemd may have given up, if it
// is one. Status 5 of systemctl: there is no such unit.
const releaseScript = enter + booted + `systemctl stop "faultline-hold-$1.service" 2>/dev/null || [ $? -eq 5 ]
` + startAgain + leave

// watchScript waits for about a second, on the node, for PID $1 that started at $2 to
// end or to stop, and prints state and start of what has the PID then, if anything.
const watchScript = clusters.ProcStatFunction + `try=0
while [ $((try += 1)) -le 50 ]; do
  procstat "$1"
  case "$state $start" in
    [!TZX]" $2") sleep 0.01 ;;
    *) break ;;
  esac
done
echo "$state $start"
`

// signalOnce plans a signal that leaves nothing to undo, where somebody restarts what it
// ends.
func signalOnce(signal string, landing time.Duration) planner {
	return func(ctx context.Context, i clusters.Instance, id string) (effect, error) {
		if i.Component == clusters.Envoy && signal == "TERM" {
			return effect{}, fmt.Errorf("%s would end its container, which nobody restarts: kill it, or switch the node off", i)
		}
		var ps []clusters.Process
		var again bool
		err := both(
			func() (err error) { ps, err = running(ctx, i); return err },
			func() (err error) { again, err = restarts(ctx, i); return err },
		)
		if err != nil {
			return effect{}, err
		}
		e := effect{
			inject:    command(signalScript, append([]string{signal}, identity(ps)...)...),
			prove:     func(ctx context.Context) (string, error) { return proveGone(ctx, i, ps) },
			landing:   landing,
			recovered: stays(i, ps[0]),
		}
		if !again {
			e.inject = command(downScript, append([]string{id, signal}, identity(ps)...)...)
			e.undo = command(startScript, id, i.Unit())
		}
		return e, nil
	}
}

func planHoldDown(ctx context.Context, i clusters.Instance, id string) (effect, error) {
	ps, err := running(ctx, i)
	if err != nil {
		return effect{}, err
	}
	keep := keeperOf(i.Node, id)
	args := append([]string{id, holdLoop, clusters.ListProcesses, "sh"}, i.ProcessArguments()...)
	return effect{
		inject: command(keep.hold, append(args, identity(ps)...)...),
		undo:   command(keep.release, id, i.Unit()),
		prove: func(ctx context.Context) (string, error) {
			if _, err := i.Node.Exec(ctx, keep.active...); err != nil {
				return "", fmt.Errorf("the loop that keeps %s down does not run: %w", i, err)
			}
			proof, err := proveGone(ctx, i, ps)
			if err != nil {
				return "", err
			}
			return proof + ", and its restarts are killed by " + holdUnit(id), nil
		},
		landing:   signalLanding,
		recovered: stays(i, ps[0]),
	}, nil
}

func holdUnit(id string) string { return "faultline-hold-" + id + ".service" }

func planPause(ctx context.Context, i clusters.Instance, id string) (effect, error) {
	ps, err := running(ctx, i)
	if err != nil {
		return effect{}, err
	}
	args := append([]string{id}, identity(ps)...)
	return effect{
		inject:    command(pauseScript, args...),
		undo:      command(resumeScript, args...),
		prove:     func(ctx context.Context) (string, error) { return proveStopped(ctx, i, ps) },
		landing:   signalLanding,
		recovered: continued(i),
	}, nil
}

// restarts tells whether somebody restarts the instance when it ends.
func restarts(ctx context.Context, i clusters.Instance) (bool, error) {
	if i.Unit() == "" {
		return true, nil
	}
	out, err := i.Node.Exec(ctx, "systemctl", "show", "--property=Restart", "--value", i.Unit())
	if err != nil {
		return false, fmt.Errorf("ask whether %s is restarted: %w", i, err)
	}
	return strings.TrimSpace(string(out)) != "no", nil
}

// running is the instance's processes, which must be there and not be stopped.
func running(ctx context.Context, i clusters.Instance) ([]clusters.Process, error) {
	ps, err := i.Processes(ctx)
	if errors.Is(err, clusters.ErrNoProcess) {
		return nil, fmt.Errorf("%w: it is down already, so there is nothing to break", err)
	}
	for _, p := range ps {
		if p.State == "T" {
			return nil, fmt.Errorf("process %d of %s is stopped (state T) already: resume it first, with `kill -CONT %d` on %s",
				p.PID, i, p.PID, i.Node.Name)
		}
	}
	return ps, err
}

// commandLine is how a process of the instance was started, word by word.
func commandLine(ctx context.Context, i clusters.Instance, p clusters.Process) ([]string, error) {
	out, err := i.Node.Exec(ctx, "cat", fmt.Sprintf("/proc/%d/cmdline", p.PID))
	if err != nil {
		return nil, fmt.Errorf("read how %s was started: %w", i, err)
	}
	return strings.Split(string(out), "\x00"), nil
}

// identity tells processes to the scripts: a PID alone may be used again.
func identity(ps []clusters.Process) []string {
	var pairs []string
	for _, p := range ps {
		pairs = append(pairs, strconv.Itoa(p.PID), strconv.FormatUint(p.StartTicks, 10))
	}
	return pairs
}

func proveGone(ctx context.Context, i clusters.Instance, ps []clusters.Process) (string, error) {
	return proveEach(ctx, i, ps, "is gone", func(_ string, there bool) bool { return !there })
}

func proveStopped(ctx context.Context, i clusters.Instance, ps []clusters.Process) (string, error) {
	return proveEach(ctx, i, ps, "is stopped, state T", func(state string, there bool) bool { return there && state == "T" })
}

// proveEach looks whether each of the processes is as it should be.
func proveEach(ctx context.Context, i clusters.Instance, ps []clusters.Process, what string, is func(state string, there bool) bool) (string, error) {
	var proofs []string
	for _, p := range ps {
		state, there, err := watch(ctx, i, p)
		if err != nil {
			return "", err
		}
		if !is(state, there) {
			return "", fmt.Errorf("want that process %d of %s %s (there: %t, state %q)", p.PID, i, what, there, state)
		}
		proofs = append(proofs, fmt.Sprintf("process %d of %s (start %d) %s", p.PID, i, p.StartTicks, what))
	}
	return strings.Join(proofs, ", "), nil
}

// watch tells the process's state and whether it still exists. A zombie does not:
// it is dead and waits for its parent.
func watch(ctx context.Context, i clusters.Instance, p clusters.Process) (state string, there bool, err error) {
	out, err := i.Node.Exec(ctx, command(watchScript, identity([]clusters.Process{p})...)...)
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

// stays waits until a process of the instance, other than the former ones, has run for the
// time settle, and returns since when it runs.
func stays(i clusters.Instance, former ...clusters.Process) func(context.Context) (time.Time, error) {
	return func(ctx context.Context) (since time.Time, err error) {
		err = clusters.Await(ctx, healingPoll, i.String()+" to run and stay", func(ctx context.Context) error {
			p, err := i.Process(ctx)
			switch {
			case err != nil:
				return err
			case p.State == "T" || slices.ContainsFunc(former, p.Is):
				return fmt.Errorf("process %d (state %s) is the broken one", p.PID, p.State)
			case p.Age < settle:
				return fmt.Errorf("process %d has not stayed for %s yet", p.PID, settle)
			}
			since = time.Now().Add(-p.Age)
			return nil
		})
		return since, err
	}
}

// continued is stays for what was stopped or held up: it has not run for as long as it exists.
func continued(i clusters.Instance) func(context.Context) (time.Time, error) {
	return func(ctx context.Context) (time.Time, error) {
		began := time.Now()
		select {
		case <-time.After(settle):
		case <-ctx.Done():
			return began, context.Cause(ctx)
		}
		since, err := stays(i)(ctx)
		return later(began, since), err
	}
}
