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

// The faults on a container runtime with all that it runs.
const (
	KindKillContainers Kind = "kill-containers"
	KindStopContainers Kind = "stop-containers"
)

// containersLanding covers a node that ends everything that it runs.
const containersLanding = 30 * time.Second

// KillContainers ends containerd, all its shims and all their containers once, with
// SIGKILL, as the restart of a Docker without live restore did in the days of dockershim.
// Today a runtime that dies alone takes nothing with it, see Kill. The end of a shim alone
// would leave its containers to init: their first processes are killed too, and the
// kernel ends what else is in their PID namespaces.
//
// Proof: containerd, every shim and every container's first process that was there is
// gone. Undo: nothing is left to undo; systemd restarts containerd, and the kubelet gives
// every pod a new sandbox with new containers, without back-off. Healed: every component of
// the node runs and stays; other pods may take longer.
func KillContainers(runtimes ...clusters.Instance) Fault {
	return onRuntimes(KindKillContainers, runtimes, func(ctx context.Context, i clusters.Instance, _ string) (effect, error) {
		ps, err := containerProcesses(ctx, i)
		if err != nil {
			return effect{}, err
		}
		return effect{
			inject:    command(endScript),
			prove:     func(ctx context.Context) (string, error) { return proveEnded(ctx, i, ps) },
			landing:   containersLanding,
			recovered: nodeRecovered(i.Node),
		}, nil
	})
}

// StopContainers stops containerd as StopService does, and then kills what it ran as
// KillContainers does: the node has no containers, and none can be started.
//
// Proof: that of StopService, and every shim and every container's first process that was
// there is gone. Undo: containerd may start, and is started. Healed: as in KillContainers.
func StopContainers(runtimes ...clusters.Instance) Fault {
	return onRuntimes(KindStopContainers, runtimes, func(ctx context.Context, i clusters.Instance, id string) (effect, error) {
		ps, err := containerProcesses(ctx, i)
		if err != nil {
			return effect{}, err
		}
		e, err := planStopService(ctx, i, id)
		if err != nil {
			return effect{}, err
		}
		e.inject = command(setScript+endScript, e.inject[4:]...)
		inactive := e.prove
		e.prove = func(ctx context.Context) (string, error) {
			first, err := inactive(ctx)
			if err != nil {
				return "", err
			}
			second, err := proveEnded(ctx, i, ps)
			return first + "; " + second, err
		}
		e.recovered = nodeRecovered(i.Node)
		return e, nil
	})
}

// shimName is what the kernel calls containerd's shims, of whatever version.
const shimName = "containerd-shim"

// containersOf has functions that list and kill what the node's containerd has started: a shim is
// called so up to 15 bytes, and its children are the first processes of the pod's sandbox and
// containers.
const containersOf = `containers() {
  for shim in $(pgrep -x ` + shimName + `); do echo "$shim"; pgrep -P "$shim" || true; done
}
kill_containers() {
  for p in $(containers); do kill -s KILL "$p" 2>/dev/null || true; done
}
`

// listScript prints PID and start of what endScript ends.
const listScript = clusters.ProcStatFunction + containersOf + `for p in $(pgrep -x containerd) $(containers); do
  procstat "$p"
  [ -z "$start" ] || echo "$p $start"
done
`

// endScript kills containerd first, which would clean up, and what it has started.
const endScript = containersOf + `pkill -KILL -x containerd || true
kill_containers
`

// leftScript prints the number of the processes, given as PIDs and starts, that are there.
const leftScript = same + `left=0
while [ $# -gt 0 ]; do
  if same "$1" "$2"; then
    case "$state" in [ZX]) ;; *) left=$((left + 1)) ;; esac
  fi
  shift 2
done
echo "$left"
`

// onRuntimes is a fault on container runtimes that takes what they run.
func onRuntimes(kind Kind, runtimes []clusters.Instance, plan planner) Fault {
	f := onInstances(kind, runtimes, func(ctx context.Context, i clusters.Instance, id string) (effect, error) {
		if i.Component != clusters.ContainerRuntime {
			return effect{}, fmt.Errorf("%s is no container runtime: name instances of %s", i, clusters.ContainerRuntime)
		}
		return plan(ctx, i, id)
	})
	for n, i := range runtimes {
		if i.Node != nil {
			f.parts[n].takes = exactly(contained(i.Node)...)
		}
	}
	return f
}

// contained lists the instances that run in containers of the node, and their runtime.
func contained(n *clusters.Node) clusters.Instances {
	return n.Everything().Except(n.Instances(clusters.Kubelet)...)
}

// containerProcesses lists the runtime with everything that it runs.
func containerProcesses(ctx context.Context, i clusters.Instance) ([]clusters.Process, error) {
	if _, err := running(ctx, i); err != nil {
		return nil, err
	}
	out, err := i.Node.Exec(ctx, command(listScript)...)
	if err != nil {
		return nil, fmt.Errorf("list what %s runs: %w", i, err)
	}
	var ps []clusters.Process
	for line := range strings.Lines(string(out)) {
		var p clusters.Process
		if _, err := fmt.Sscan(line, &p.PID, &p.StartTicks); err != nil {
			return nil, fmt.Errorf("list what %s runs: line %q: %w", i, line, err)
		}
		ps = append(ps, p)
	}
	if len(ps) < 2 {
		return nil, fmt.Errorf("%s runs no container, so there is nothing to break", i)
	}
	return ps, nil
}

func proveEnded(ctx context.Context, i clusters.Instance, ps []clusters.Process) (string, error) {
	out, err := i.Node.Exec(ctx, command(leftScript, identity(ps)...)...)
	if err != nil {
		return "", err
	}
	left, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err == nil && left > 0 {
		err = errors.New("processes of containers are still there")
	}
	if err != nil {
		return "", fmt.Errorf("%s: %d of %d: %w", i, left, len(ps), err)
	}
	return fmt.Sprintf("%s and the %d processes of its shims and containers are gone", i, len(ps)-1), nil
}

// nodeRecovered waits until every component of the node runs and stays.
func nodeRecovered(n *clusters.Node) func(context.Context) (time.Time, error) {
	return func(ctx context.Context) (time.Time, error) { return allStay(ctx, n.Everything()) }
}
