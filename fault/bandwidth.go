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

// Bandwidth limits what the nodes send, all in all, to that many bytes a second: to other
// nodes, to this machine and to everybody else. What they receive is limited by naming
// the senders. Packets wait for up to 0.4 s and are then dropped, which TCP takes for a
// sign to slow down; so long queues add latency, as on a real link.
//
// It is the kernel's token bucket (tbf) as the root queueing discipline of the device that
// has the node's address, with a handle of the fault's own. It is gone after a reboot of
// the node.
//
// Proof: a second of datagrams to nobody (a multicast address that no router passes on) at
// full speed leaves at no more than the limit, and fills most of it. Guard: it takes
// nothing. Undo: the queueing discipline with that handle is removed. Healed: it is gone,
// and the node's kubelet, or what it is for, runs and stays.
func Bandwidth(bytesPerSecond int64, nodes ...*clusters.Node) Fault {
	f := perNode(KindBandwidth, nodes, func(ctx context.Context, n *clusters.Node, id string) (effect, error) {
		return planBandwidth(ctx, n, id, bytesPerSecond)
	})
	for k := range f.parts {
		f.parts[k].takes = nil
		f.parts[k].target = "the link of " + strings.TrimPrefix(f.parts[k].target, "node ")
	}
	return f
}

// The limits of a bandwidth: below the lower a control plane's own chatter takes all, the
// upper can still be filled for the proof.
const (
	minBandwidth = 16 << 10
	maxBandwidth = 64 << 20
)

// burstOf is how many bytes may leave at once: enough for a packet of any size that
// virtual links take, and for the clock of the kernel.
func burstOf(rate int64) int64 { return max(rate/50, 16<<10) }

// shapeScript limits the link for the fault $1: $2 is the device, $3 the handle, $4 the bytes
// a second, $5 the burst.
const shapeScript = enter + armed + `tc qdisc add dev "$2" root handle "$3" tbf rate "$4"bps burst "$5" latency 400ms
`

// unshapeScript undoes shapeScript.
const unshapeScript = enter + `queues=$(tc qdisc show dev "$2")
if echo "$queues" | grep -q "^qdisc tbf $3 root"; then tc qdisc del dev "$2" root handle "$3"; fi
` + leave

// shapableScript prints why the link cannot be limited, if so; arguments as above, from the
// device on.
const shapableScript = `why=$(tc qdisc show dev "$1" | grep ' root ' | grep -v '^qdisc [a-z_]* 0: ') && { echo "busy $why"; exit 0; }
unshare --net tc qdisc add dev lo root handle "$2" tbf rate "$3"bps burst "$4" latency 400ms 2>&1 | sed 's/^/lacks /'
`

// link is the device that a bandwidth limits, and the queueing discipline that does it.
type link struct {
	node           *clusters.Node
	device, handle string
}

func planBandwidth(ctx context.Context, n *clusters.Node, id string, rate int64) (effect, error) {
	if rate < minBandwidth || rate > maxBandwidth {
		return effect{}, fmt.Errorf("a bandwidth of %d bytes a second is out of range: want %d to %d", rate, minBandwidth, maxBandwidth)
	}
	if n.Enter != nil {
		return effect{}, fmt.Errorf("%w: %s has not the privileges to limit its link", clusters.ErrUnsupported, n.Name)
	}
	device, err := deviceOf(ctx, n)
	if err != nil {
		return effect{}, err
	}
	l := link{n, device, handleOf(id)}
	args := []string{l.device, l.handle, strconv.FormatInt(rate, 10), strconv.FormatInt(burstOf(rate), 10)}
	if err := l.shapable(ctx, args); err != nil {
		return effect{}, err
	}
	return effect{
		inject:    command(shapeScript, append([]string{id}, args...)...),
		undo:      command(unshapeScript, id, l.device, l.handle),
		prove:     func(ctx context.Context) (string, error) { return l.prove(ctx, rate) },
		landing:   filterLanding,
		recovered: l.recovered,
	}, nil
}

// shapable refuses a link that is limited already or cannot be; args are those of the script.
func (l link) shapable(ctx context.Context, args []string) error {
	out, err := l.node.Exec(ctx, command(shapableScript, args...)...)
	if err != nil {
		return fmt.Errorf("look at the link of %s: %w", l.node.Name, err)
	}
	switch kind, why, _ := strings.Cut(strings.TrimSpace(string(out)), " "); kind {
	case "":
		return nil
	case "busy":
		return fmt.Errorf("the link of %s is limited already: %s", l.node.Name, why)
	default:
		return fmt.Errorf("%w: the link of %s cannot be limited: %s", clusters.ErrUnsupported, l.node.Name, why)
	}
}

// handleOf names the fault's queueing discipline. ffff belongs to the kernel.
func handleOf(id string) string { return fmt.Sprintf("%x:", max(1, queueOf(id)-1)) }

// floodScript sends at full speed for a second, and prints how many bytes left and in how
// many microseconds: $1 is the device, $2 the handle.
const floodScript = `left() {
  tc -statistics qdisc show dev "$1" | awk -v handle="$2" '/^qdisc/ { mine = $3 == handle } mine && $1 == "Sent" { print $2; found = 1 } END { exit !found }'
}
before=$(left "$1" "$2") || { echo "there is no limit" >&2; exit 1; }
began=$(date +%s%N)
timeout 1 bash -c 'dd if=/dev/zero bs=1400 > /dev/udp/224.0.0.251/9' 2> /dev/null || true
after=$(left "$1" "$2")
ended=$(date +%s%N)
echo $((after - before)) $(((ended - began) / 1000))
`

func (l link) prove(ctx context.Context, rate int64) (string, error) {
	n := l.node
	out, err := n.Exec(ctx, command(floodScript, l.device, l.handle)...)
	if err != nil {
		return "", fmt.Errorf("send from %s: %w", n.Name, err)
	}
	var bytes, microseconds int64
	if _, err := fmt.Sscan(string(out), &bytes, &microseconds); err != nil {
		return "", fmt.Errorf("send from %s: unexpected answer %q", n.Name, out)
	}
	took := time.Duration(microseconds) * time.Microsecond
	allowed := int64(float64(rate) * took.Seconds())
	if most := allowed + allowed/10 + burstOf(rate); bytes > most || bytes < allowed/2 {
		return "", fmt.Errorf("%s sent %d bytes in %s, want %d to %d", n.Name, bytes, took, allowed/2, most)
	}
	return fmt.Sprintf("%s sent %d bytes in %s at full speed, at a limit of %d a second", n.Name, bytes, took, rate), nil
}

// recovered waits until the limit is gone and the node does what it is for.
func (l link) recovered(ctx context.Context) (time.Time, error) {
	err := clusters.Await(ctx, healingPoll, "the link of "+l.node.Name, func(ctx context.Context) error {
		out, err := l.node.Exec(ctx, "tc", "qdisc", "show", "dev", l.device)
		if err == nil && strings.Contains(string(out), " "+l.handle+" ") {
			err = errors.New("it is still limited")
		}
		return err
	})
	if err != nil {
		return time.Time{}, err
	}
	return continued(l.node.Vital())(ctx)
}
