package fault

import (
	"context"
	"fmt"
	"strings"
	"time"

	"faultline/clusters"
)

// The faults on what a node has to share out.
const (
	KindStressCPU    Kind = "stress-cpu"
	KindStressMemory Kind = "stress-memory"
	KindStressPIDs   Kind = "stress-pids"
	KindLimitNode    Kind = "limit-node"
	KindOOMKill      Kind = "oom-kill"
)

var resourceEntries = []Entry{
	{KindStressCPU, "resources", "nodes", "", "the unit is stopped", "each worker runs and uses CPU time"},
	{KindStressMemory, "resources", "nodes", "memory to spare", "the unit is stopped", "the memory is resident"},
	{KindStressPIDs, "resources", "nodes", "memory to spare", "the unit is stopped", "the processes are there"},
	{KindLimitNode, "resources", "nodes", "nodes that this machine can limit", "the former limits are set", "the node's kernel has the limits"},
	{KindOOMKill, "resources", "any component", "a control group of its own", "the former limit is set; it is restarted by the kubelet or systemd",
		"the process is gone, and the kernel has counted it"},
}

// room is what a node has.
type room struct {
	cpus int64
	// available is the memory that can be taken without reclaiming any that is needed.
	available int64
	// used is the memory of the node's control group without what the kernel can drop.
	used int64
	// pids is how many processes its PID namespace or the kernel can number.
	pids int64
}

// roomScript prints the fields of room. A node container sees all memory of its machine
// in /proc/meminfo; its own limit is that of the root of its control groups.
const roomScript = `number() { case "$1" in '' | max) echo 9223372036854771712 ;; *) echo "$1" ;; esac; }
lower() { if [ "$1" -lt "$2" ]; then echo "$1"; else echo "$2"; fi; }
available=$(awk '$1 == "MemAvailable:" { printf "%.0f", $2 * 1024 }' /proc/meminfo)
if [ -d /sys/fs/cgroup/memory ]; then
  cd /sys/fs/cgroup/memory
  limit=$(cat memory.limit_in_bytes) used=$(cat memory.usage_in_bytes) prefix=total_
else
  cd /sys/fs/cgroup
  limit=$(cat memory.max 2>/dev/null) used=$(cat memory.current 2>/dev/null || echo 0) prefix=
fi
cache=$(awk -v p="$prefix" '$1 == p "active_file" || $1 == p "inactive_file" { n += $2 } END { printf "%.0f", n }' memory.stat)
used=$((used - cache))
available=$(lower "$available" $(($(number "$limit") - used)))
pids=$(lower "$(cat /proc/sys/kernel/pid_max)" "$(cat /proc/sys/kernel/threads-max)")
echo "$(nproc) $available $used $pids"
`

// roomOf looks at a node.
func roomOf(ctx context.Context, n *clusters.Node) (room, error) {
	out, err := n.Exec(ctx, command(roomScript)...)
	if err != nil {
		return room{}, fmt.Errorf("look at what node %s has: %w", n.Name, err)
	}
	var r room
	if _, err := fmt.Sscan(string(out), &r.cpus, &r.available, &r.used, &r.pids); err != nil {
		return room{}, fmt.Errorf("look at what node %s has: unexpected answer %q: %w", n.Name, out, err)
	}
	return r, nil
}

// onNode is a fault on something that a node has. Everything goes on meanwhile.
func onNode(kind Kind, n *clusters.Node, what string, plan func(ctx context.Context, id string) (effect, error)) Fault {
	p := part{kind: kind, target: what + " of a missing node", node: n, plan: plan}
	if n != nil {
		p.target = what + " of node " + n.Name
	}
	return Fault{Kind: kind, TTL: DefaultTTL, parts: []part{p}}
}

// inRange refuses an argument of a fault.
func inRange(what string, got, least, most int64) error {
	if got < least || got > most {
		return fmt.Errorf("%d %s are out of range: want %d to %d", got, what, least, most)
	}
	return nil
}

// unitGone fails while the unit that holds a fault, or one that it left, is on the node.
func unitGone(ctx context.Context, n *clusters.Node, id string) error {
	out, err := n.Exec(ctx, "systemctl", "list-units", "--all", "--plain", "--no-legend", "faultline-hold-"+id+"*")
	if left := strings.TrimSpace(string(out)); err == nil && left != "" {
		err = fmt.Errorf("still on node %s: %s", n.Name, left)
	}
	return err
}

// ended waits until the unit that holds a fault, and what else has to be gone, is gone and the
// node's vital instance runs and stays.
func ended(n *clusters.Node, id string, others ...func(context.Context) error) func(context.Context) (time.Time, error) {
	return func(ctx context.Context) (time.Time, error) {
		err := clusters.Await(ctx, healingPoll, "the end of "+holdUnit(id), func(ctx context.Context) error {
			err := unitGone(ctx, n, id)
			for _, gone := range others {
				if err == nil {
					err = gone(ctx)
				}
			}
			return err
		})
		if err != nil {
			return time.Time{}, err
		}
		return continued(n.Vital())(ctx)
	}
}
