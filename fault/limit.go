package fault

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	"faultline/clusters"
)

const (
	// limitMargin is what a limited node may need beside the memory that it uses when the
	// fault is planned.
	limitMargin = 64 << 20
	// quotaPeriod is that of a CPU quota, in microseconds; the kernel takes no quota below
	// a hundredth of it.
	quotaPeriod = 100_000
	minCPUs     = 0.01
)

// LimitNode lets the node use no more than that many CPUs of its machine, and that many
// bytes of memory; 0 leaves one as it is. The node is not told: a kubelet goes on to say
// what the machine has. The kernel makes its processes wait for the next 100 ms when the
// CPU quota is used up, and kills some when they need more memory. With cgroup v1 it
// refuses a quota below that of a group inside, such as a container with a CPU limit. CPU
// sets, by which hosts have their cores and migration moves them, stay.
//
// The commands and the dead man's switch run on this machine, as for PowerOff. The engine
// cannot take a memory limit away: in its place it gets the largest that there is.
//
// Proof: the engine and the node's kernel have the limits. Undo: the former limits are set.
// Healed: the node's kubelet, or what it is for, runs and stays.
func LimitNode(n *clusters.Node, cpus float64, memoryBytes int64) Fault {
	return onNode(KindLimitNode, n, "the limits", func(ctx context.Context, id string) (effect, error) {
		if len(n.Power.Limit) == 0 {
			return effect{}, fmt.Errorf("node %s cannot be limited from this machine: %w", n.Name, clusters.ErrUnsupported)
		}
		former, err := limitsOf(ctx, n)
		if err != nil {
			return effect{}, err
		}
		r, err := roomOf(ctx, n)
		if err != nil {
			return effect{}, err
		}
		wanted, err := limited(former, r, cpus, memoryBytes)
		if err != nil {
			return effect{}, fmt.Errorf("limit node %s: %w", n.Name, err)
		}
		e := fromOutside(id, limit(n, wanted), limit(n, former))
		e.prove = func(ctx context.Context) (string, error) { return proveLimited(ctx, n, wanted) }
		e.landing = hostLanding
		e.recovered = continued(n.Vital())
		return e, nil
	})
}

// limited is what the limits become. They only become lower: what was used before fits
// into them again after the undo.
func limited(former clusters.Limits, r room, cpus float64, memoryBytes int64) (clusters.Limits, error) {
	wanted := former
	if cpus == 0 && memoryBytes == 0 {
		return wanted, errors.New("neither CPUs nor memory are given")
	}
	if cpus != 0 {
		most := float64(r.cpus)
		if former.CPUQuota > 0 {
			most = float64(former.CPUQuota) / quotaPeriod
		}
		if cpus < minCPUs || cpus >= most || math.IsNaN(cpus) {
			return wanted, fmt.Errorf("%g CPUs are out of range: want at least %g and less than the %g that it has", cpus, minCPUs, most)
		}
		wanted.CPUQuota = int64(cpus * quotaPeriod)
	}
	if memoryBytes != 0 {
		const page = 64 << 10 // of the kernels with the largest
		wanted.Memory = memoryBytes / page * page
		wanted.MemorySwap = wanted.Memory
		if err := inRange("bytes of memory", memoryBytes, r.used+limitMargin, r.used+r.available); err != nil {
			return wanted, fmt.Errorf("%w: it uses %d now; to kill a component, use OOMKill", err, r.used)
		}
	}
	return wanted, nil
}

// limit is the command of this machine that sets limits.
func limit(n *clusters.Node, l clusters.Limits) []string {
	argv := append([]string{}, n.Power.Limit...)
	for _, value := range []int64{l.CPUQuota, l.Memory, l.MemorySwap} {
		argv = append(argv, strconv.FormatInt(value, 10))
	}
	return argv
}

// limitsOf asks the engine.
func limitsOf(ctx context.Context, n *clusters.Node) (clusters.Limits, error) {
	var l clusters.Limits
	out, err := clusters.ThisMachine().Exec(ctx, n.Power.Limits...)
	if err != nil {
		return l, fmt.Errorf("ask for the limits of node %s: %w", n.Name, err)
	}
	if _, err := fmt.Sscan(string(out), &l.CPUQuota, &l.Memory, &l.MemorySwap); err != nil {
		return l, fmt.Errorf("ask for the limits of node %s: unexpected answer %q: %w", n.Name, out, err)
	}
	return l, nil
}

// kernelLimitsScript prints the CPU quota and the memory limit at the root of the node's
// control groups, which is the group of its container; -1 for no quota.
const kernelLimitsScript = `cd /sys/fs/cgroup
if [ -d memory ]; then
  echo "$(cat cpu/cpu.cfs_quota_us) $(cat memory/memory.limit_in_bytes)"
else
  echo "$(cut -d' ' -f1 cpu.max) $(cat memory.max)" | sed 's/^max/-1/; s/max/9223372036854771712/'
fi
`

func proveLimited(ctx context.Context, n *clusters.Node, want clusters.Limits) (string, error) {
	engine, err := limitsOf(ctx, n)
	if err != nil {
		return "", err
	}
	out, err := n.Exec(ctx, command(kernelLimitsScript)...)
	if err != nil {
		return "", fmt.Errorf("ask the kernel for the limits of node %s: %w", n.Name, err)
	}
	var kernel clusters.Limits
	if _, err := fmt.Sscan(string(out), &kernel.CPUQuota, &kernel.Memory); err != nil {
		return "", fmt.Errorf("ask the kernel for the limits of node %s: unexpected answer %q: %w", n.Name, out, err)
	}
	proof := fmt.Sprintf("node %s has a CPU quota of %d µs in %d and %d bytes of memory", n.Name, kernel.CPUQuota, quotaPeriod, kernel.Memory)
	for _, has := range []clusters.Limits{engine, kernel} {
		if want.CPUQuota > 0 && has.CPUQuota != want.CPUQuota || want.Memory > 0 && has.Memory != want.Memory {
			return "", fmt.Errorf("%s, the engine says %+v, want %+v", proof, engine, want)
		}
	}
	return proof, nil
}
