package fault

import (
	"encoding/base64"
	"fmt"
	"time"

	"faultline/clusters"
)

// A node keeps one directory for an armed fault, stateDir/<id>. It holds what the
// undo needs, and its existence is the leave to inject: arming makes it, undoing
// removes it, and an action that arrives late (say, from the orphaned command of
// a killed process) finds it gone and does nothing.
//
// The dead man's switch is a transient systemd timer that runs the undo on the
// node itself when the TTL is over. It needs no process of ours, no network and no
// API server but that of the node, where what it takes back is an object of the API. Two
// facts of systemd matter: a timer fires up to a minute late
// unless AccuracySec is set, and a transient unit does not survive a reboot of
// the node. Nor does it survive a daemon-reload with a description of several lines, which
// the command would be: systemd reads the lines back as settings. After a reboot, stopped
// processes and hold-down loops are gone anyway, but a manifest that was moved away stays
// away until Undo or Recover.
//
// An undo that fails then, or is killed, is tried again every 15 s: another command may hang
// on the node, or its API server be down. It ends with the first that succeeds, whosever
// that is. systemd gives up when it has tried 240 times in a day, which is an hour and
// more: by then what the undo needs is gone for good, and the fault's directory tells so.

// stateDir is where the nodes keep armed faults. The scripts spell it out.
const stateDir = "/var/lib/faultline"

// The scripts below are also run by systemd, which replaces ${name} and turns two
// dollar signs into one: they may use neither.

// enter begins every script that changes a node. The lock keeps actions, undos and
// timers of a node apart. It is taken on a directory that is always there, so
// no lock file is left.
const enter = `set -e
d=/var/lib/faultline/$1
` + lock

// lock takes the node's lock, if others let go of it in time.
const lock = `exec 9</var/lib
flock -w 20 9 || { echo "another faultline command hangs on this node" >&2; exit 1; }
`

// armed refuses an action that nothing would undo.
const armed = `[ -d "$d" ] && [ ! -e "$d/undoing" ] || { echo "fault $1 is not armed on this node, or not any more" >&2; exit 1; }
`

// booted waits until systemd answers. On a node that has just been switched on it does not
// yet, and a fault that was injected before may have to be undone there.
const booted = `for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  systemctl show-environment >/dev/null 2>&1 && break
  sleep 0.5
done
`

// leave ends every undo. The timer goes last: it is the second chance of an undo that fails.
// The service that a timer has started may not end itself.
const leave = `[ ! -d "$d" ] || rmdir "$d"
rmdir /var/lib/faultline 2>/dev/null || true
systemctl stop "faultline-undo-$1.timer" 2>/dev/null || true
[ "$FAULTLINE_TIMER" ] || systemctl stop "faultline-undo-$1.service" 2>/dev/null || true
`

// arm sets the timer: $1 is the fault's ID, $2 the TTL, $3 the undo as coded gives it.
const arm = enter + `mkdir -p "$d"
unit=faultline-undo-$1
systemd-run --quiet --collect --unit="$unit" --description="$unit" --on-active="$2" --timer-property=AccuracySec=100ms \
  --property=Restart=on-failure --property=RestartSec=15 --property=StartLimitIntervalSec=86400 --property=StartLimitBurst=240 \
  -- sh -c "echo $3 | base64 -d | FAULTLINE_TIMER=yes sh"
`

// coded is a command such that it passes systemd unharmed. After a daemon-reload, of which
// some faults and many installers make use, systemd 252 reads newlines, dollars, quotes
// and semicolons of a command back wrong.
func coded(argv []string) string {
	return base64.StdEncoding.EncodeToString([]byte(clusters.Quote(argv)))
}

// armCommands arm the undo of an effect, on its node or as the effect wants it.
func (e effect) armCommands(ttl time.Duration) [][]string {
	if e.arm != nil {
		return e.arm(ttl)
	}
	return [][]string{command(arm, e.id, fmt.Sprintf("%dms", ttl.Milliseconds()), coded(e.undo))}
}
