package fault

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"faultline/clusters"
)

// The limits of a blackout: with less than the lower the engine's own time would be most
// of it, and who wants more than the upper wants Freeze.
const (
	minBlackout = 50 * time.Millisecond
	maxBlackout = 10 * time.Minute
)

// Blackout freezes the nodes as Freeze does and thaws them after the length, as the last
// phase of a live migration does: memory, processes, connections and addresses
// stay, and the wall clock jumps for whoever was frozen. Inject returns when it is over.
//
// The length is measured on this machine from the freeze that the engine has confirmed
// to the order to thaw, so the node is frozen at least that long. The thaw is part of the
// action, which goes on when this process is killed.
//
// Proof: the engine said that the node was paused at the beginning and, after the length,
// at the end. It is about what has been: Prove holds until the undo. Undo: a node that is
// still frozen is thawed. Healed: its kubelet, or what it is for, runs and stays.
func Blackout(length time.Duration, nodes ...*clusters.Node) Fault {
	f := perNode(KindBlackout, nodes, func(ctx context.Context, n *clusters.Node, id string) (effect, error) {
		return planBlackout(ctx, n, id, length)
	})
	f.TTL += length
	return f
}

func planBlackout(ctx context.Context, n *clusters.Node, id string, length time.Duration) (effect, error) {
	if length < minBlackout || length > maxBlackout {
		return effect{}, fmt.Errorf("a blackout of %s is out of range: want %s to %s", length, minBlackout, maxBlackout)
	}
	e, err := planSwitching(ctx, n, id, switching{undo: command(endBlackoutScript, append([]string{id}, n.Power.Thaw...)...)})
	// Only the freeze is whileArmed: an undo need not wait for the end of the blackout.
	e.inject = command(blackoutScript, id, seconds(length), clusters.Quote(whileArmed(id, n.Power.Freeze)), clusters.Quote(n.Power.Status), clusters.Quote(n.Power.Thaw))
	e.passes = true
	e.prove = func(ctx context.Context) (string, error) { return proveBlackout(ctx, e.node, n, id, length) }
	return e, err
}

// blackoutScript keeps a node frozen for $2 seconds, for the fault $1. $3 freezes, $4 asks
// and $5 thaws; they are words of a shell. It notes how many milliseconds it was. Who waits
// for the script must not have to wait for a sleep that outlives it.
const blackoutScript = `set -e
note=/tmp/faultline-blackout-$1
frozen() { [ "$(eval "$1")" = paused ] || { echo "the node is not frozen $2" >&2; exit 1; }; }
eval "$3" > /dev/null
frozen "$4" "after it was told to"
began=$(date +%s%N)
sleep "$2" > /dev/null 2>&1
frozen "$4" "at the end: somebody thawed it"
ended=$(date +%s%N)
eval "$5" > /dev/null
echo $(((ended - began) / 1000000)) > "$note"
`

// endBlackoutScript thaws and forgets the note of the fault $1.
const endBlackoutScript = `set -e
rm -f "/tmp/faultline-blackout-$1"
shift
"$@"
`

// proveBlackout reads what was measured.
func proveBlackout(ctx context.Context, machine, n *clusters.Node, id string, length time.Duration) (string, error) {
	out, err := machine.Exec(ctx, "cat", "/tmp/faultline-blackout-"+id)
	if err != nil {
		return "", fmt.Errorf("node %s has had no blackout: %w", n.Name, err)
	}
	milliseconds, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		return "", fmt.Errorf("length of the blackout of node %s: %w", n.Name, err)
	}
	was := time.Duration(milliseconds) * time.Millisecond
	if was < length {
		return "", fmt.Errorf("node %s was frozen for %s, want %s", n.Name, was, length)
	}
	return fmt.Sprintf("node %s was paused for %s", n.Name, was), nil
}
