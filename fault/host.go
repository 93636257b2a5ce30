package fault

import (
	"context"
	"fmt"
	"strings"
	"time"

	"faultline/clusters"
)

// The faults on whole nodes.
const (
	KindPowerOff Kind = "power-off"
	KindFreeze   Kind = "freeze"
)

var hostEntries = []Entry{
	{KindPowerOff, "host", "nodes", "nodes that this machine can switch", "the node is switched on with its address", "the engine says that it does not run"},
	{KindFreeze, "host", "nodes", "nodes that this machine can switch", "the node is thawed", "the engine says that it is paused"},
}

// hostLanding covers an engine that is busy with several containers.
const hostLanding = 30 * time.Second

// What the engine calls a node that has power and runs, and one that is frozen.
const (
	statusRunning = "running"
	statusPaused  = "paused"
)

// PowerOff ends everything on the nodes at once, as when a host loses power: no
// signal that could be handled, no lease released, no connection closed by
// the peer. Disks keep what was synced. Nothing brings a node back but the undo.
//
// The commands run on this machine, because the node cannot run any. So does the
// dead man's switch: a detached process that outlives us, but not a reboot of
// this machine, after which the nodes are off anyway.
//
// Proof: the engine says that the node does not run. Undo: the node is switched on
// with its old address. Healed: its kubelet, or what it is for, runs and stays.
func PowerOff(nodes ...*clusters.Node) Fault {
	return onNodes(KindPowerOff, nodes, func(n *clusters.Node) switching {
		return switching{inject: n.Power.Off, undo: n.Power.On, is: func(status string) bool {
			return status != statusRunning && status != statusPaused
		}}
	})
}

// Freeze stops every process of the nodes at once by the kernel's cgroup freezer, as
// when a hypervisor stalls or moves its machines. Unlike Pause it hits init and
// kernel-facing services alike, nothing on the node can notice it or undo it, and
// the kernel goes on to acknowledge packets for the frozen sockets.
//
// Proof: the engine says that the node is paused. Undo: it is thawed, by this machine
// as in PowerOff; processes go on where they were, with a clock that has jumped.
// Healed: its kubelet, or what it is for, runs and stays.
func Freeze(nodes ...*clusters.Node) Fault {
	return onNodes(KindFreeze, nodes, func(n *clusters.Node) switching {
		return switching{inject: n.Power.Freeze, undo: n.Power.Thaw, is: func(status string) bool { return status == statusPaused }}
	})
}

// switching is what a fault does to a node from outside.
type switching struct {
	inject, undo []string
	// is tells whether the engine's word for the node means that the fault is in effect.
	is func(status string) bool
}

func onNodes(kind Kind, nodes []*clusters.Node, how func(*clusters.Node) switching) Fault {
	f := Fault{Kind: kind, TTL: DefaultTTL}
	for _, n := range nodes {
		p := part{kind: kind, target: "a missing node", node: n}
		if n != nil {
			p.target, p.takes = "node "+n.Name, exactly(n.Everything()...)
		}
		p.plan = func(ctx context.Context, id string) (effect, error) { return planSwitching(ctx, n, id, how(n)) }
		f.parts = append(f.parts, p)
	}
	return f
}

func planSwitching(ctx context.Context, n *clusters.Node, id string, s switching) (effect, error) {
	if len(s.inject) == 0 {
		return effect{}, fmt.Errorf("node %s cannot be switched from this machine", n.Name)
	}
	machine := clusters.ThisMachine()
	status, err := statusOf(ctx, machine, n)
	if err != nil {
		return effect{}, err
	}
	if status != statusRunning {
		return effect{}, fmt.Errorf("node %s is %s already, so there is nothing to break", n.Name, status)
	}
	undo := command(switchBackScript, append([]string{id}, s.undo...)...)
	return effect{
		node:   machine,
		inject: s.inject,
		undo:   undo,
		arm:    armOnMachine(id, undo),
		prove: func(ctx context.Context) (string, error) {
			status, err := statusOf(ctx, machine, n)
			if err == nil && !s.is(status) {
				err = fmt.Errorf("it is %s", status)
			}
			return fmt.Sprintf("node %s is %s", n.Name, status), err
		},
		landing:   hostLanding,
		recovered: stays(n.Vital(), func(clusters.Process) bool { return true }),
	}, nil
}

// statusOf asks the engine what the node does.
func statusOf(ctx context.Context, machine, n *clusters.Node) (string, error) {
	out, err := machine.Exec(ctx, n.Power.Status...)
	if err != nil {
		return "", fmt.Errorf("ask what node %s does: %w", n.Name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// armOnMachine sets the timer of this machine.
func armOnMachine(id string, undo []string) func(time.Duration) [][]string {
	return func(ttl time.Duration) [][]string {
		return [][]string{command(armMachine, append([]string{id, fmt.Sprintf("%.3f", ttl.Seconds())}, undo...)...)}
	}
}

// armMachine is the timer of this machine: $1 is the fault's ID, $2 the TTL in
// seconds, the rest the undo. The session of its own keeps it out of the reach of
// a terminal's Ctrl-C.
const armMachine = `set -e
file=/tmp/faultline-undo-$1.pid
ttl=$2
shift 2
setsid sh -c 'sleep "$1"; shift; exec "$@"' faultline-undo "$ttl" "$@" < /dev/null > /dev/null 2>&1 &
echo $! > "$file"
`

// switchBackScript undoes and then ends the timer, unless it is the timer: $1 is the
// fault's ID, the rest undoes.
const switchBackScript = `set -e
file=/tmp/faultline-undo-$1.pid
shift
"$@"
[ -f "$file" ] || exit 0
pid=$(cat "$file")
rm -f "$file"
[ "$pid" = "$$" ] && exit 0
if tr '\0' ' ' < "/proc/$pid/cmdline" 2> /dev/null | grep -q faultline-undo; then kill -- "-$pid" || true; fi
`
