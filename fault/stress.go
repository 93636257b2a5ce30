package fault

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"faultline/clusters"
)

// Stress is a transient systemd unit and not a pod of the API, whose undo would need the
// API server, and not a container of the runtime, whose undo would need containerd. It is
// put where the kubelet puts BestEffort pods: the slice with the least CPU weight, within
// what pods may have in all. So the kernel treats it as it does such a pod that runs
// wild, and kills it first when memory runs out; the kubelet cannot evict it and evicts
// others. On a machine beside the cluster it runs among the services.

const (
	// workersPerCPU is how many workers a CPU may get.
	workersPerCPU = 4
	// memoryReserve is what a stressed node keeps.
	memoryReserve = 256 << 20
	// memorySlack is what stress may need beside what it is to take.
	memorySlack = 64 << 20
	// maxPIDs is far below what a kernel has by default (32 768): the machine's other
	// containers take theirs from the same.
	maxPIDs = 8192
	// bytesPerPID is about what an idle process costs, mostly inside the kernel.
	bytesPerPID = 256 << 10

	cpuLanding    = 15 * time.Second
	memoryLanding = time.Minute
	pidsLanding   = 2 * time.Minute
)

// StressCPU runs that many endless loops on the node.
//
// Proof: each worker is there, and they use CPU time. Undo: their unit is stopped. Healed:
// it is gone, and the node's kubelet, or what it is for, runs and stays.
func StressCPU(n *clusters.Node, workers int) Fault {
	return onNode(KindStressCPU, n, "the CPU", func(ctx context.Context, id string) (effect, error) {
		r, err := roomOf(ctx, n)
		if err == nil {
			err = inRange("workers", int64(workers), 1, workersPerCPU*r.cpus)
		}
		return stress{
			node: n, tasks: int64(workers), memory: memorySlack, script: cpuWorkers, amount: int64(workers),
			landing: cpuLanding, prove: func(ctx context.Context) (string, error) { return proveCPU(ctx, n, id, workers) },
		}.effect(id), err
	})
}

// StressMemory takes that many bytes of the node's memory and keeps them. It leaves the
// node 256 MiB of what is available now. Swap would be no memory, so it may use none.
//
// Proof: the bytes are resident. Undo and healing are those of StressCPU.
func StressMemory(n *clusters.Node, bytes int64) Fault {
	return onNode(KindStressMemory, n, "the memory", func(ctx context.Context, id string) (effect, error) {
		r, err := roomOf(ctx, n)
		if err == nil {
			err = inRange("bytes", bytes, 1<<20, r.available-memoryReserve)
		}
		return stress{
			node: n, tasks: 1, memory: bytes + memorySlack, script: memoryHolder, amount: bytes,
			landing: memoryLanding, prove: func(ctx context.Context) (string, error) { return proveMemory(ctx, n, id, bytes) },
		}.effect(id), err
	})
}

// StressPIDs starts that many processes on the node, which do nothing. Since Linux 6.14
// pid_max is a limit of each PID namespace, but outer ones number a container's processes
// too, and a container cannot see their limits.
//
// Proof: the processes are there. Undo and healing are those of StressCPU.
func StressPIDs(n *clusters.Node, count int) Fault {
	return onNode(KindStressPIDs, n, "the PIDs", func(ctx context.Context, id string) (effect, error) {
		r, err := roomOf(ctx, n)
		if err == nil {
			err = inRange("processes", int64(count), 1, min(maxPIDs, r.pids/2, (r.available-memoryReserve)/bytesPerPID))
		}
		return stress{
			node: n, tasks: int64(count), memory: int64(count)*bytesPerPID + memorySlack, script: pidSleepers, amount: int64(count),
			landing: pidsLanding, prove: func(ctx context.Context) (string, error) { return provePIDs(ctx, n, id, count) },
		}.effect(id), err
	})
}

// stress is a unit that takes an amount of something. Its main process only waits for its
// children, which do.
type stress struct {
	node          *clusters.Node
	script        string
	amount        int64
	tasks, memory int64 // limits of the unit
	landing       time.Duration
	prove         func(context.Context) (string, error)
}

func (s stress) effect(id string) effect {
	const spareTasks = 8
	return effect{
		inject: command(stressScript, id, fmt.Sprintf("--property=TasksMax=%d", s.tasks+spareTasks),
			fmt.Sprintf("--property=MemoryMax=%d", s.memory), "--", "sh", "-c", s.script, "faultline", strconv.FormatInt(s.amount, 10)),
		undo:      command(releaseScript, id),
		prove:     s.prove,
		landing:   s.landing,
		recovered: ended(s.node, id),
	}
}

// stressScript starts the unit of the fault $1 with the rest as arguments of systemd-run.
// The kubelet's slice is there where it leaves control groups to systemd.
const stressScript = enter + armed + `unit=faultline-hold-$1
shift
slice=$(systemctl list-units --type=slice --plain --no-legend '*kubepods-besteffort.slice' | cut -d' ' -f1)
[ -z "$slice" ] || set -- --slice="$slice" "$@"
systemd-run --quiet --collect --unit="$unit" --property=KillSignal=SIGKILL --property=OOMScoreAdjust=1000 \
  --property=MemorySwapMax=0 "$@"
`

// What the units run.
const (
	cpuWorkers  = `n=0; while [ "$n" -lt "$1" ]; do (while :; do :; done) & n=$((n + 1)); done; wait`
	pidSleepers = `n=0; while [ "$n" -lt "$1" ]; do sleep infinity & n=$((n + 1)); done; wait`
	// dd fills one buffer and then waits until somebody reads it, which nobody does.
	memoryHolder = `dd if=/dev/zero bs="$1" count=1 iflag=fullblock status=none | sleep infinity`
)

// childrenScript prints the number of the children of the unit of the fault $1, the clock
// ticks that they have used, and their resident bytes; and the same again $2 s later, unless
// that is 0. Names of processes may hold blanks.
const childrenScript = `main=$(systemctl show --property=MainPID --value "faultline-hold-$1.service")
[ "$main" != 0 ] || { echo "faultline-hold-$1.service does not run" >&2; exit 1; }
look() {
  pgrep -P "$main" | sed 's,.*,/proc/&/stat,' | xargs -r cat 2>/dev/null |
    awk -v page="$(getconf PAGESIZE)" '{ sub(/\(.*\)/, "_"); n++; t += $14 + $15; r += $24 } END { printf "%d %.0f %.0f\n", n, t, r * page }'
}
look
[ "$2" = 0 ] || { sleep "$2"; look; }
`

// children are the processes of a unit that do what it is for.
type children struct {
	count, ticks, resident int64
}

// childrenOf looks at them once, or twice with a pause.
func childrenOf(ctx context.Context, n *clusters.Node, id string, pause float64) ([]children, error) {
	out, err := n.Exec(ctx, command(childrenScript, id, strconv.FormatFloat(pause, 'f', -1, 64))...)
	if err != nil {
		return nil, fmt.Errorf("look at the stress of node %s: %w", n.Name, err)
	}
	looks := make([]children, 1)
	if pause > 0 {
		looks = make([]children, 2)
	}
	fields := []any{}
	for k := range looks {
		fields = append(fields, &looks[k].count, &looks[k].ticks, &looks[k].resident)
	}
	if _, err := fmt.Sscan(string(out), fields...); err != nil {
		return nil, fmt.Errorf("look at the stress of node %s: unexpected answer %q: %w", n.Name, out, err)
	}
	return looks, nil
}

// tick is the unit of CPU times in /proc, on every architecture.
const tick = 10 * time.Millisecond

func proveCPU(ctx context.Context, n *clusters.Node, id string, workers int) (string, error) {
	looks, err := childrenOf(ctx, n, id, 0.5)
	if err != nil {
		return "", err
	}
	before, after := looks[0], looks[1]
	used := time.Duration(after.ticks-before.ticks) * tick
	if after.count < int64(workers) || used <= 0 {
		return "", fmt.Errorf("%d of %d workers run on node %s and used %s of CPU time between two looks", after.count, workers, n.Name, used)
	}
	return fmt.Sprintf("%d workers run on node %s and used %s of CPU time between two looks", after.count, n.Name, used), nil
}

func proveMemory(ctx context.Context, n *clusters.Node, id string, bytes int64) (string, error) {
	looks, err := childrenOf(ctx, n, id, 0)
	if err != nil {
		return "", err
	}
	proof := fmt.Sprintf("%d of %d bytes are resident on node %s", looks[0].resident, bytes, n.Name)
	if looks[0].resident < bytes {
		return "", fmt.Errorf("only %s", proof)
	}
	return proof, nil
}

func provePIDs(ctx context.Context, n *clusters.Node, id string, count int) (string, error) {
	looks, err := childrenOf(ctx, n, id, 0)
	if err != nil {
		return "", err
	}
	proof := fmt.Sprintf("%d of %d processes are on node %s", looks[0].count, count, n.Name)
	if looks[0].count < int64(count) {
		return "", fmt.Errorf("only %s", proof)
	}
	return proof, nil
}
