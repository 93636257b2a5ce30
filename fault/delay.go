package fault

import (
	"context"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"sync"
	"time"

	"faultline/clusters"
	"faultline/clusters/engine/workspace"
)

// Delay makes packets between two sets of nodes late, in both directions: by the latency
// and up to the jitter more, evenly spread. So a round trip takes twice as much. Packets
// stay in order and connections stay.
//
// The kernel hands arriving packets to a program of ours (target NFQUEUE) that holds
// them: unlike the queueing discipline netem, which not every kernel has, it can tell
// peers and ports apart. The program is compiled here, copied to the node, and runs there
// as a transient systemd unit until the undo. Should it die, packets pass at once.
//
// Proof: connections from each node of a side to each of the other take the latency, and
// the rules count their packets. Guard: it takes nothing. Undo: the chain, the jumps to it
// and the program are removed, which loses the packets that are held. Healing is that of
// Partition.
func Delay(latency, jitter time.Duration, a, b []*clusters.Node) Fault {
	return Packets{}.Delay(latency, jitter, a, b)
}

// Delay is Delay for these packets.
func (p Packets) Delay(latency, jitter time.Duration, a, b []*clusters.Node) Fault {
	return p.between(filter{kind: KindDelay, share: 1, hold: &hold{latency, jitter}}, way{a, b}, way{b, a})
}

// hold is how long packets are held.
type hold struct{ latency, jitter time.Duration }

// The limits of a delay: below the lower it cannot be told from the machine's own, above
// the upper no connection comes about in the time that its client waits.
const (
	minDelay = time.Millisecond
	maxDelay = 10 * time.Second
)

func (h hold) validate() error {
	if h.latency < minDelay || h.longest() > maxDelay || h.jitter < 0 {
		return fmt.Errorf("a latency of %s with a jitter of %s is out of range: want %s to %s in all", h.latency, h.jitter, minDelay, maxDelay)
	}
	return nil
}

// longest is how long a packet is held at most.
func (h hold) longest() time.Duration { return h.latency + h.jitter }

// judge wants every connection to be answered, and none before the latency is over.
func (h hold) judge(s sender, answers []answer) error {
	for n, a := range answers {
		if a.status == timedOut || a.took < h.latency {
			return fmt.Errorf("a connection from %s to %s took %s (status %s), want at least %s", s.from.Name, s.to[n], a.took, a.status, h.latency)
		}
	}
	return nil
}

// queueOf is the number of the kernel's queue for a chain.
func queueOf(chain string) uint16 {
	hash := fnv.New32a()
	hash.Write([]byte(chain))
	return uint16(hash.Sum32()%65535) + 1
}

// delayScript starts the program on its standard input and then sets the rules $2 for the
// fault $1; $3 is the queue, $4 the latency, $5 the jitter. The unit counts as started when
// the program has taken its queue.
const delayScript = enter + armed + `cat > "$d/delay"
chmod 755 "$d/delay"
systemd-run --quiet --collect --unit="faultline-hold-$1" --property=Type=notify -- \
  "$d/delay" -queue "$3" -latency "$4" -jitter "$5"
printf '%s' "$2" | iptables-restore --noflush --wait
`

// undelayScript undoes delayScript: $2 is the chain.
const undelayScript = enter + removeChain + booted + `systemctl stop "faultline-hold-$1.service" 2>/dev/null || [ $? -eq 5 ]
rm -f "$d/delay"
` + leave

// holding makes a planned filter hold what it would drop.
func (f filter) holding(ctx context.Context, e effect, id, rules string) (effect, error) {
	program, err := delayProgram(ctx)
	if err != nil {
		return effect{}, err
	}
	e.input = program
	e.inject = command(delayScript, id, rules, fmt.Sprint(queueOf(chainOf(id))), f.hold.latency.String(), f.hold.jitter.String())
	e.undo = command(undelayScript, id, chainOf(id))
	e.landing += 4 * f.hold.longest()
	e.prove = func(ctx context.Context) (string, error) {
		if _, err := f.node.Exec(ctx, "systemctl", "is-active", holdUnit(id)); err != nil {
			return "", fmt.Errorf("the program that holds packets does not run on %s: %w", f.node.Name, err)
		}
		proof, err := f.prove(ctx, chainOf(id))
		return fmt.Sprintf("%s, each for %s", proof, f.hold.latency), err
	}
	return e, nil
}

// compiled is the program, once it has been asked for.
var compiled struct {
	sync.Mutex
	program []byte
}

// delayProgram compiles the program that runs on nodes.
func delayProgram(ctx context.Context) ([]byte, error) {
	compiled.Lock()
	defer compiled.Unlock()
	if compiled.program != nil {
		return compiled.program, nil
	}
	dir, remove, err := workspace.Temporary(ctx, "delay")
	if err != nil {
		return nil, err
	}
	defer remove()
	path := filepath.Join(dir, "delay")
	if err := workspace.Build(ctx, "fault/delay", path); err != nil {
		return nil, fmt.Errorf("compile the program that holds packets: %w", err)
	}
	compiled.program, err = os.ReadFile(path)
	return compiled.program, err
}
