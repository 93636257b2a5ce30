package fault

import (
	"slices"
	"time"

	"faultline/clusters"
)

// A node without systemd, as kind's load balancer, is broken from this machine: its dead
// man's switch is the timer of this machine, as for a node that is switched off, and a
// loop on it is a session whose number is in the fault's directory.

// keeper is how a loop is kept on a node.
type keeper struct {
	hold, release string
	// active succeeds while the loop runs.
	active []string
}

func keeperOf(n *clusters.Node, id string) keeper {
	if n.Enter == nil {
		return keeper{holdScript, releaseScript, []string{"systemctl", "is-active", holdUnit(id)}}
	}
	return keeper{holdBareScript, releaseBareScript, command(activeScript, id)}
}

// looping tells whether the number in $d/loop is that of the fault's loop, and not of
// another process after the node was switched off and on.
const looping = `looping() { [ -f "$d/loop" ] && tr '\0' ' ' < "/proc/$(cat "$d/loop")/cmdline" 2> /dev/null | grep -q "faultline-hold-$1"; }
`

// holdBareScript is holdScript without systemd. The loop must not hold the lock.
const holdBareScript = enter + armed + same + `unit=faultline-hold-$1 loop=$2 list=$3 argv0=$4 name=$5 copy=$6 host=$7
shift 7
all "$@"
signal KILL "$@"
setsid sh -c "$loop" "$unit" "$list" "$argv0" "$name" "$copy" "$host" 9<&- < /dev/null > /dev/null 2>&1 &
echo $! > "$d/loop"
`

// releaseBareScript undoes holdBareScript.
const releaseBareScript = enter + looping + `if looping "$1"; then kill -s KILL -- "-$(cat "$d/loop")"; fi
rm -f "$d/loop"
` + leave

// activeScript succeeds while the loop of the fault $1 runs.
const activeScript = `d=/var/lib/faultline/$1
` + looping + `looping "$1"`

// allow gives leave to inject the fault $1 without setting a timer.
const allow = enter + `mkdir -p "$d"`

// fromHere is the effect on a node without systemd, as commands of this machine.
func (e effect) fromHere(n *clusters.Node) effect {
	on := func(argv []string) []string { return slices.Concat(n.Enter, argv) }
	e.node, e.inject = clusters.ThisMachine(), on(e.inject)
	if e.undo == nil {
		return e
	}
	e.undo = command(switchBackScript, append([]string{e.id}, on(e.undo)...)...)
	onMachine := onThisMachine(e.id, e.undo)
	e.arm = func(ttl time.Duration) [][]string {
		return append([][]string{on(command(allow, e.id))}, onMachine(ttl)...)
	}
	return e
}
