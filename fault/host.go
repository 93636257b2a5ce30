package fault

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"faultline/clusters"
)

// The faults on whole nodes.
const (
	KindPowerOff Kind = "power-off"
	KindReboot   Kind = "reboot"
	KindDestroy  Kind = "destroy"
	KindFreeze   Kind = "freeze"
	KindBlackout Kind = "blackout"
)

var hostEntries = []Entry{
	{KindPowerOff, "host", "nodes", switchable, "the node is switched on with its address", "the engine says that it does not run"},
	{KindReboot, "host", "nodes", switchable, "the node is switched on with its address, if it is not on", "its first process is another one"},
	{KindDestroy, "host", "nodes", switchable, "none: the node and what it stored are gone for good", "the engine does not know it any more"},
	{KindErase, "host", "workers, and control-plane nodes with etcd", "", "the state is put back, unless somebody has set the node up again", "processes, certificates and data are gone"},
	{KindFreeze, "host", "nodes", switchable, "the node is thawed", "the engine says that it is paused"},
	{KindBlackout, "host", "nodes", switchable, "the node is thawed, if it is not yet", "the engine said that it was paused at both ends of the measured time"},
}

// switchable is what the faults on nodes need.
const switchable = "nodes that this machine can switch"

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
// this machine, after which the nodes are off anyway. It tries for five minutes, as the
// engine may be restarting.
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
	return perNode(kind, nodes, func(ctx context.Context, n *clusters.Node, id string) (effect, error) {
		return planSwitching(ctx, n, id, how(n))
	})
}

// perNode is a fault that does the same to each of several nodes.
func perNode(kind Kind, nodes []*clusters.Node, plan func(ctx context.Context, n *clusters.Node, id string) (effect, error)) Fault {
	f := Fault{Kind: kind, TTL: DefaultTTL}
	for _, n := range nodes {
		p := part{kind: kind, target: "a missing node", node: n}
		if n != nil {
			p.target, p.takes = "node "+n.Name, exactly(n.Everything()...)
		}
		p.plan = func(ctx context.Context, id string) (effect, error) { return plan(ctx, n, id) }
		f.parts = append(f.parts, p)
	}
	return f
}

func planSwitching(ctx context.Context, n *clusters.Node, id string, s switching) (effect, error) {
	if len(n.Power.Status) == 0 {
		return effect{}, fmt.Errorf("node %s cannot be switched from this machine", n.Name)
	}
	if err := endable(ctx, n); err != nil {
		return effect{}, err
	}
	machine := clusters.ThisMachine()
	status, err := statusOf(ctx, machine, n)
	if err != nil {
		return effect{}, err
	}
	if status != statusRunning {
		return effect{}, fmt.Errorf("node %s is %s already, so there is nothing to break", n.Name, status)
	}
	e := fromOutside(id, s.inject, s.undo)
	e.prove = func(ctx context.Context) (string, error) {
		status, err := statusOf(ctx, machine, n)
		if err == nil && !s.is(status) {
			err = fmt.Errorf("it is %s", status)
		}
		return fmt.Sprintf("node %s is %s", n.Name, status), err
	}
	e.landing = hostLanding
	e.recovered = continued(n.Vital())
	return e, nil
}

// fromOutside is an effect that this machine has on a node, with a dead man's switch of
// its own.
func fromOutside(id string, inject, undo []string) effect {
	undo = command(switchBackScript, append([]string{id}, undo...)...)
	return effect{
		node:   clusters.ThisMachine(),
		inject: whileArmed(id, inject),
		undo:   undo,
		arm:    onThisMachine(id, undo),
	}
}

// endable refuses a node on which the kernel can neither end nor freeze every process.
func endable(ctx context.Context, n *clusters.Node) error {
	if n.Disk == nil {
		return nil
	}
	marks, err := n.DiskStatus(ctx)
	if err == nil && slices.Contains(marks, "it is stalled") {
		return fmt.Errorf("disk %s of node %s is stalled, and who waits for it cannot be ended: let it go on first", n.Disk.Name, n.Name)
	}
	return nil // also when it does not answer: what it does is asked next
}

// statusOf asks the engine what the node does.
func statusOf(ctx context.Context, machine, n *clusters.Node) (string, error) {
	ask := n.Power.Ask
	if ask == nil {
		ask = func(ctx context.Context) (string, error) {
			out, err := machine.Exec(ctx, n.Power.Status...)
			return strings.TrimSpace(string(out)), err
		}
	}
	status, err := ask(ctx)
	if err != nil {
		return "", fmt.Errorf("ask what node %s does: %w", n.Name, err)
	}
	return status, nil
}

// onThisMachine arms an undo that no node can run.
func onThisMachine(id string, undo []string) func(ttl time.Duration) [][]string {
	return func(ttl time.Duration) [][]string {
		return [][]string{command(armMachine, append([]string{id, seconds(ttl)}, undo...)...)}
	}
}

// seconds is a time as sleep and timeout take it.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

// armMachine is the timer of this machine: $1 is the fault's ID, $2 the TTL in
// seconds, the rest the undo. The session of its own keeps it out of the reach of
// a terminal's Ctrl-C.
const armMachine = `set -e
file=/tmp/faultline-undo-$1.pid
ttl=$2
shift 2
setsid sh -c 'sleep "$1"; shift; for try in $(seq 20); do "$@" && exit; sleep 15; done' faultline-undo "$ttl" "$@" < /dev/null > /dev/null 2>&1 &
echo $! > "$file"
`

// whileArmed is an action of this machine that the undo of the fault waits for, and that does
// nothing once the undo has begun: the engine's client goes on when the process that started
// it is killed, and must not break what has been mended meanwhile.
func whileArmed(id string, action []string) []string {
	return command(whileArmedScript, append([]string{id}, action...)...)
}

// whileArmedScript acts for the fault $1 under its lock, which is the timer's file. The action
// keeps the lock when this shell is killed.
const whileArmedScript = `set -e
id=$1 file=/tmp/faultline-undo-$1.pid
shift
armed() { [ -f "$file" ] || { echo "fault $id is not armed on this machine, or not any more" >&2; exit 1; }; }
armed
{ flock 8; armed; "$@"; } 8< "$file"
`

// switchBackScript takes the leave to act away, undoes, and then ends the timer, unless that has
// started it: $1 is the fault's ID, the rest undoes.
const switchBackScript = `set -e
file=/tmp/faultline-undo-$1.pid undoing=/tmp/faultline-undo-$1.undoing
shift
if [ -f "$file" ]; then { flock 8; mv "$file" "$undoing"; } 8< "$file" || [ -f "$undoing" ] || [ ! -f "$file" ]; fi
"$@"
[ -f "$undoing" ] || exit 0
pid=$(cat "$undoing")
rm -f "$undoing"
[ "$pid" != "$PPID" ] || exit 0
if tr '\0' ' ' < "/proc/$pid/cmdline" 2> /dev/null | grep -q faultline-undo; then kill -- "-$pid" || true; fi
`
