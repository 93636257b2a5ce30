package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"faultline/clusters"
)

// Reboot takes the power of the nodes away, as PowerOff does, and gives it back at once.
// They boot with their old addresses: systemd starts the kubelet, and that starts
// the static pods from their manifests, without an API server.
//
// Proof: the first process on the node is another one than before, told by its start. A
// node that is about to be up again has landed: healing is later. Undo: a node that
// this process left without power, because it died in between, is switched on.
// Healed: its kubelet, or what it is for, runs and stays.
func Reboot(nodes ...*clusters.Node) Fault { return perNode(KindReboot, nodes, planReboot) }

// rebootScript runs one command and then, whatever becomes of this process, another. Both
// are words of a shell: $1 takes the power, $2 gives it back, and leaves nobody the lock who
// runs as long as the node does.
const rebootScript = `set -e
eval "$1" > /dev/null
eval "$2" 8<&- > /dev/null
`

func planReboot(ctx context.Context, n *clusters.Node, id string) (effect, error) {
	e, err := planSwitching(ctx, n, id, switching{
		inject: command(rebootScript, clusters.Quote(n.Power.Off), clusters.Quote(n.Power.On)), undo: n.Power.On,
	})
	if err != nil {
		return effect{}, err
	}
	before, err := bootOf(ctx, n)
	if err != nil {
		return effect{}, err
	}
	e.passes = true
	e.prove = func(ctx context.Context) (string, error) {
		now, err := bootOf(ctx, n)
		if err == nil && now == before {
			err = fmt.Errorf("node %s has not booted: its first process is the one that started at %s", n.Name, before)
		}
		return fmt.Sprintf("node %s has booted: its first process started at %s, the one before at %s", n.Name, now, before), err
	}
	return e, nil
}

// bootScript prints when the first process started, in ticks since this machine booted.
const bootScript = clusters.ProcStatFunction + `procstat 1
echo "$start"`

// bootOf tells boots of a node apart.
func bootOf(ctx context.Context, n *clusters.Node) (string, error) {
	out, err := n.Exec(ctx, command(bootScript)...)
	boot := strings.TrimSpace(string(out))
	if err == nil && boot == "" {
		err = errors.New("no answer")
	}
	if err != nil {
		return "", fmt.Errorf("ask node %s when it booted: %w", n.Name, err)
	}
	return boot, nil
}
