package fault

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"faultline/clusters"
)

// oomLanding covers a kernel that is slow to reclaim.
const oomLanding = 30 * time.Second

// OOMKill lets the kernel kill the instances' processes because their control group is
// out of memory: the group's limit is lowered to what it uses without its page cache, and
// a process of ours in the group needs a little more than that. The kernel kills the
// process with the most memory, weighed by oom_score_adj, which ours takes over. To lower
// that takes CAP_SYS_RESOURCE, unless the instance's is not lower than usual.
//
// With cgroup v1 the kernel refuses a limit that it cannot reach by reclaiming (EBUSY);
// with v2 it kills at once until the limit is reached. With v2 the kubelet has the whole
// container killed (memory.oom.group).
//
// Proof: the process is gone, and the kernel has counted the kill (oom_kill). Undo: the
// action itself puts the limit back as soon as the process is gone; the undo does it
// again. The next container has a group of its own, a service keeps its group. Healed:
// another process runs and stays.
func OOMKill(instances ...clusters.Instance) Fault {
	return onInstances(KindOOMKill, instances, planOOMKill)
}

// kernelKills has the kernel's count of all kills for lack of memory, oom_kill, since Linux 4.13.
const kernelKills = "/proc/vmstat"

func planOOMKill(ctx context.Context, i clusters.Instance, id string) (effect, error) {
	ps, err := running(ctx, i)
	if err != nil {
		return effect{}, err
	}
	p := ps[0]
	group, err := memoryGroup(ctx, i, p)
	if err != nil {
		return effect{}, err
	}
	return effect{
		inject:    command(oomScript, append(append([]string{id}, identity(ps[:1])...), group, kernelKills)...),
		undo:      command(unlimitScript, id),
		passes:    true,
		prove:     func(ctx context.Context) (string, error) { return proveOOMKilled(ctx, i, p, id) },
		landing:   oomLanding,
		recovered: stays(i, p),
	}, nil
}

// memoryGroup is the control group in which the kernel can kill exactly this process for
// lack of memory, as a directory on its node.
func memoryGroup(ctx context.Context, i clusters.Instance, p clusters.Process) (string, error) {
	out, err := i.Node.Exec(ctx, command(memoryGroupScript, strconv.Itoa(p.PID))...)
	if err != nil {
		return "", fmt.Errorf("look for the control group of %s: %w", i, err)
	}
	group := strings.TrimSpace(string(out))
	if why, lacks := strings.CutPrefix(group, "lack: "); lacks {
		return "", fmt.Errorf("%s cannot be killed for lack of memory: %w: %s", i, clusters.ErrUnsupported, why)
	}
	return group, nil
}

// memoryGroupScript prints the control group of PID $1, or what is against killing it for
// lack of memory.
const memoryGroupScript = `set -e
lack() { echo "lack: $*"; exit 0; }
root=/sys/fs/cgroup
if [ -d "$root/memory" ]; then
  root=$root/memory
  group=$(sed -n 's/^[0-9]*:memory://p' "/proc/$1/cgroup")
else
  group=$(sed -n 's/^0:://p' "/proc/$1/cgroup")
fi
case "$group" in '' | / | */..*) lack "it shares the control group of its whole node" ;; esac
group=$root$group
[ -e "$group/memory.max" ] || [ -e "$group/memory.limit_in_bytes" ] || lack "its control group has no limit of memory: $group"
weight=$(cat "/proc/$1/oom_score_adj")
[ "$weight" != -1000 ] || lack "it is exempt (oom_score_adj -1000)"
(echo "$weight" >/proc/self/oom_score_adj) 2>/dev/null || lack "nothing else can get its oom_score_adj, $weight"
score=$(cat "/proc/$1/oom_score")
for other in $(cat "$group/cgroup.procs"); do
  [ "$(cat "/proc/$other/oom_score" 2>/dev/null || echo 0)" -le "$score" ] ||
    lack "process $other ($(cat "/proc/$other/comm")) of its control group would be killed first"
done
echo "$group"
`

// unlimited puts back what the file $d/limits holds: files and their former values. A
// group that is gone needs nothing.
const unlimited = `unlimited() {
  [ -e "$d/limits" ] || return 0
  while read -r file value; do
    [ ! -e "$file" ] || echo "$value" >"$file" || [ ! -e "$file" ]
  done <"$d/limits"
}
`

// oomScript lets PID $2 that started at $3 be killed in its control group $4, for the
// fault $1. Swap would delay that, so the group may use none meanwhile. The group may be gone
// as soon as the process is. Version 2 has its count of kills in the parent too; version 1 has
// not, and there the kernel's own count in the file $5 is taken, which includes the kills of all
// groups. What runs in the group must not keep the lock.
const oomScript = enter + armed + same + unlimited + `same "$2" "$3" || gone "$2"
group=$4
if [ -e "$group/memory.max" ]; then
  limit=$group/memory.max used=$group/memory.current swap=$group/memory.swap.max kills=$(dirname "$group")/memory.events
else
  limit=$group/memory.limit_in_bytes used=$group/memory.usage_in_bytes swap=$group/memory.swappiness kills=$5
fi
killed() { awk '$1 == "oom_kill" { print $2 }' "$kills"; }
cache() { awk '$1 == "active_file" || $1 == "inactive_file" { n += $2 } END { printf "%.0f", n }' "$group/memory.stat"; }
weight=$(cat "/proc/$2/oom_score_adj")
join() { echo "$weight" >/proc/self/oom_score_adj; echo 0 >"$group/cgroup.procs"; }
size=$(awk '$1 == "VmRSS:" { n = $2 * 1024 / 4; printf "%d", n < 8388608 ? n : 8388608 }' "/proc/$2/status")
before=$(killed)
for file in "$limit" "$swap"; do
  [ ! -e "$file" ] || echo "$file $(cat "$file")"
done >"$d/part"
sync "$d/part"
mv "$d/part" "$d/limits"
[ ! -e "$swap" ] || echo 0 >"$swap"
for more in 0 1 2 3 4 5 6 7; do
  if echo $(($(cat "$used") - $(cache) + more * 1048576)) >"$limit"; then break; fi
done 2>/dev/null
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  same "$2" "$3" || break
  case "$state" in [ZX]) break ;; esac
  (join; exec dd if=/dev/zero of=/dev/null bs="$size" count=1 status=none) 9<&- >/dev/null 2>&1 || true
  sleep 0.05
done
after=$(killed)
unlimited
echo $((after - before)) >"$d/kills"
`

// unlimitScript undoes oomScript.
const unlimitScript = enter + unlimited + `unlimited
rm -f "$d/limits" "$d/part" "$d/kills"
` + leave

// killsScript prints how many kills the kernel has counted for the fault $1.
const killsScript = `cat "/var/lib/faultline/$1/kills"`

func proveOOMKilled(ctx context.Context, i clusters.Instance, p clusters.Process, id string) (string, error) {
	out, err := i.Node.Exec(ctx, command(killsScript, id)...)
	if err != nil {
		return "", fmt.Errorf("ask for what the kernel has killed: %w", err)
	}
	kills, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil || kills < 1 {
		return "", fmt.Errorf("the kernel counts no kill for lack of memory, and %s was to be killed: %q", i, out)
	}
	proof, err := proveGone(ctx, i, []clusters.Process{p})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, and the kernel counts %d kill(s) for lack of memory", proof, kills), nil
}
