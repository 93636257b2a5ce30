package kind

import (
	"context"

	"faultline/clusters"
	"faultline/clusters/engine"
)

// powerOf is how a node container is switched from this machine.
//
// Off is a SIGKILL of everything in it by the engine. The engine then takes the
// container for stopped on purpose, so that kind's restart policy
// (on-failure) does not bring it back.
//
// On gives it its old address first: the engine hands out addresses in the
// order of starting, and etcd's members know each other by address. The alias, if
// there is one, is a name in the network's DNS.
func powerOf(e *engine.Engine, network, node, address, alias string) clusters.Power {
	engine := e.Name()
	return clusters.Power{
		Ask:     func(ctx context.Context) (string, error) { return e.Status(ctx, node) },
		Off:     []string{engine, "kill", node},
		On:      []string{"sh", "-c", powerOn, "faultline", engine, node, network, address, alias},
		Freeze:  []string{"sh", "-c", freeze, "faultline", engine, node},
		Thaw:    []string{"sh", "-c", thaw, "faultline", engine, node},
		Status:  []string{engine, "inspect", "--format", "{{.State.Status}}", node},
		Cores:   []string{"sh", "-c", moveToCores, "faultline", engine, node},
		Destroy: []string{engine, "rm", "--force", "--volumes", node},
		Limits:  []string{engine, "inspect", "--format", "{{.HostConfig.CpuQuota}} {{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}", node},
		Limit:   []string{"sh", "-c", limit, "faultline", engine, node},
	}
}

// unlessGone ends a script for a node, $2, that exists no more.
const unlessGone = `set -e
names=$("$1" ps -a --format '{{.Names}}')
echo "$names" | grep -qxF "$2" || exit 0
`

// powerOn does nothing to a node that is on. One at a time: who asks while another is about to
// start the node would take the network away from it afterwards. The lock is on the
// engine's own program, because that is there and stays.
const powerOn = unlessGone + `exec 9< "$(command -v "$1")"
flock 9
[ "$("$1" inspect --format '{{.State.Running}}' "$2")" = false ] || exit 0
"$1" network disconnect --force "$3" "$2" || true
"$1" network connect --ip "$4" ${5:+--alias "$5"} "$3" "$2"
"$1" start "$2" 9<&-
`

// freeze tries again where processes did not hold still in time: with cgroup v1 the runtime
// gives up on those of a busy machine, and thaws what it has frozen of them.
const freeze = `for try in 1 2 3 4 5; do
  refused=$("$1" pause "$2" 2>&1) && exit 0
  case $refused in *"unable to freeze"*) ;; *) break ;; esac
  sleep 0.1
done
echo "$refused" >&2
exit 1
`

// thaw does nothing to a node that is not frozen.
const thaw = unlessGone + `[ "$("$1" inspect --format '{{.State.Status}}' "$2")" = paused ] || exit 0
"$1" unpause "$2"
`

// moveToCores gives the node $2 the cores $3. With cgroup v1 a group's cores have to
// contain those of the groups in it: the node gets all cores for a moment, its inner
// groups widen from the outside in and narrow from the inside out. A group that a booting
// node makes meanwhile is in the way (EBUSY): the next try narrows it too.
const moveToCores = unlessGone + `all=0-$(($(nproc --all) - 1))
move() {
  "$1" update --cpuset-cpus "$all" "$2" > /dev/null &&
  "$1" exec "$2" sh -c 'cd /sys/fs/cgroup/cpuset 2> /dev/null || exit 0
find . -mindepth 1 -type d | while read -r group; do echo "$1" > "$group/cpuset.cpus"; done
find . -mindepth 1 -depth -type d | while read -r group; do echo "$2" > "$group/cpuset.cpus"; done' sh "$all" "$3" &&
  "$1" update --cpuset-cpus "$3" "$2" > /dev/null
}
for try in 1 2 3 4 5 6 7 8 9; do
  move "$@" 2> /dev/null && exit 0
  sleep 0.2
done
move "$@"
`

// limit gives the node $2 the CPU quota $3, the memory $4, and $5 with swap. The engine
// takes 0 for no change, and -1 is a limit for the CPU only: no limit of memory is all that
// the kernel can count. With swap it has to be a number too, else the kernel keeps the old one.
const limit = unlessGone + `quota=$3 memory=$4 swap=$5
[ "$quota" -gt 0 ] || quota=-1
[ "$memory" -gt 0 ] || memory=9223372036854771712
[ "$swap" -gt 0 ] || swap=9223372036854771712
"$1" update --cpu-period 100000 --cpu-quota "$quota" --memory "$memory" --memory-swap "$swap" "$2" > /dev/null
`

// enterOf runs commands on a container without systemd from this machine.
func enterOf(engine, node string) []string {
	return []string{"sh", "-c", enter, "faultline", engine, node}
}

// enter runs what follows the node $2 on it.
const enter = unlessGone + `engine=$1 node=$2
shift 2
exec "$engine" exec "$node" "$@"
`
