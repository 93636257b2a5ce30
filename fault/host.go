package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"faultline/clusters"
)

// KindPowerOff is the fault of nodes without power.
const KindPowerOff Kind = "power-off"

// powerLanding covers an engine that is busy with several containers.
const powerLanding = 30 * time.Second

// PowerOff ends everything on the nodes at once, as when a host loses power: no
// signal that could be handled, no lease released, no connection closed by
// the peer. Disks keep what was synced. Nothing brings a node back but the undo.
//
// The commands run on this machine, because the node cannot run any. So does the
// dead man's switch: a detached process that outlives us, but not a reboot of
// this machine, after which the nodes are off anyway.
//
// Proof: the engine says that the node does not run. Undo: the node is switched on
// with its old address. Healed: its kubelet runs and stays.
func PowerOff(nodes ...*clusters.Node) Fault {
	f := Fault{Kind: KindPowerOff, TTL: DefaultTTL}
	for _, n := range nodes {
		p := part{target: "a missing node", node: n}
		if n != nil {
			p.target = "node " + n.Name
		}
		p.plan = func(ctx context.Context, id string) (effect, error) { return planPowerOff(ctx, n, id) }
		f.parts = append(f.parts, p)
	}
	return f
}

func planPowerOff(ctx context.Context, n *clusters.Node, id string) (effect, error) {
	if len(n.Power.Off) == 0 {
		return effect{}, fmt.Errorf("node %s cannot be switched off from this machine", n.Name)
	}
	machine := clusters.ThisMachine()
	on, err := powered(ctx, machine, n)
	if err != nil {
		return effect{}, err
	}
	if !on {
		return effect{}, fmt.Errorf("node %s is off already, so there is nothing to break", n.Name)
	}
	undo := command(powerOnScript, append([]string{id}, n.Power.On...)...)
	return effect{
		node:   machine,
		inject: n.Power.Off,
		undo:   undo,
		arm: func(ttl time.Duration) []string {
			return command(armMachine, append([]string{id, fmt.Sprintf("%.3f", ttl.Seconds())}, undo...)...)
		},
		prove: func(ctx context.Context) (string, error) {
			on, err := powered(ctx, machine, n)
			if err == nil && on {
				err = errors.New("it still runs")
			}
			return fmt.Sprintf("node %s does not run", n.Name), err
		},
		landing:   powerLanding,
		recovered: stays(clusters.Instance{Component: clusters.Kubelet, Node: n}, func(clusters.Process) bool { return true }),
	}, nil
}

// powered asks the engine whether the node runs.
func powered(ctx context.Context, machine, n *clusters.Node) (bool, error) {
	out, err := machine.Exec(ctx, n.Power.Running...)
	if err != nil {
		return false, fmt.Errorf("ask whether node %s runs: %w", n.Name, err)
	}
	return strings.TrimSpace(string(out)) == "true", nil
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

// powerOnScript switches a node on and ends the timer, unless it is the timer:
// $1 is the fault's ID, the rest switches on.
const powerOnScript = `set -e
file=/tmp/faultline-undo-$1.pid
shift
"$@"
[ -f "$file" ] || exit 0
pid=$(cat "$file")
rm -f "$file"
[ "$pid" = "$$" ] && exit 0
if tr '\0' ' ' < "/proc/$pid/cmdline" 2> /dev/null | grep -q faultline-undo; then kill -- "-$pid" || true; fi
`
