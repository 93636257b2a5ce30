package fault

import (
	"context"
	"fmt"
	"strings"

	"faultline/clusters"
)

// KindStopService is the fault of a service that is kept stopped.
const KindStopService Kind = "stop-service"

// StopService stops services of systemd (kubelet, containerd, an external etcd, HAProxy,
// keepalived, a registry) as an administrator does, with SIGTERM and time to end, and
// keeps them stopped: systemd restarts what was stopped on purpose neither by itself
// nor, because of a condition that a drop-in adds, at boot or for whoever starts it.
// Containers outlive the kubelet and containerd; their pods are not restarted meanwhile.
//
// Proof: the service is inactive with the drop-in in force, and its processes are gone.
// Undo: the drop-in is removed and the service started. Healed: another process runs and
// stays.
func StopService(instances ...clusters.Instance) Fault {
	return onInstances(KindStopService, instances, planStopService)
}

func planStopService(ctx context.Context, i clusters.Instance, id string) (effect, error) {
	if i.Unit() == "" {
		return effect{}, fmt.Errorf("%s is no service of systemd: stop a static pod by its manifest, kill or hold down anything else", i)
	}
	ps, err := running(ctx, i)
	if err != nil {
		return effect{}, err
	}
	e := effect{
		prove:     func(ctx context.Context) (string, error) { return proveInactive(ctx, i, id, ps) },
		landing:   stopLanding,
		recovered: stays(i, ps[0]),
	}
	e.setService(i, id, stopped(id), "stop", i.Unit())
	return e, nil
}

// stopped is a drop-in that keeps a service from starting while the fault is armed.
func stopped(id string) string {
	return fmt.Sprintf("[Unit]\nConditionPathExists=!%s/%s\n", stateDir, id)
}

// dropIn is the fault's setting of the unit, after all others.
func dropIn(unit, id string) string {
	return fmt.Sprintf("/etc/systemd/system/%s.d/zz-faultline-%s.conf", unit, id)
}

// setScript makes the drop-in $2 with the content $3, for the fault $1, and tells systemd
// the rest. A name that does not end in .conf is ignored.
const setScript = enter + armed + `mkdir -p "$(dirname "$2")"
: > "$d/service"
sync "$d/service"
printf '%s' "$3" > "$2.new"
sync "$2.new"
mv "$2.new" "$2"
systemctl daemon-reload
shift 3
systemctl "$@"
`

// unsetScript undoes setScript for the unit $3, wherever that was interrupted. A service
// that systemd has given up is started again only after reset-failed.
const unsetScript = enter + booted + `if [ -e "$d/service" ]; then
  rm -f "$2.new" "$2"
  rmdir "$(dirname "$2")" 2>/dev/null || true
  systemctl daemon-reload
  systemctl reset-failed "$3" 2>/dev/null || true
  systemctl restart --no-block "$3"
  rm "$d/service"
fi
` + leave

// setService plans a drop-in for the instance's unit, and what systemctl does with it.
func (e *effect) setService(i clusters.Instance, id, content string, action ...string) {
	path := dropIn(i.Unit(), id)
	e.inject = command(setScript, append([]string{id, path, content}, action...)...)
	e.undo = command(unsetScript, id, path, i.Unit())
}

func proveInactive(ctx context.Context, i clusters.Instance, id string, ps []clusters.Process) (string, error) {
	proof, err := proveGone(ctx, i, ps)
	if err != nil {
		return "", err
	}
	out, err := i.Node.Exec(ctx, "systemctl", "show", "--property=ActiveState,DropInPaths", i.Unit())
	if err != nil {
		return "", fmt.Errorf("ask for the state of %s: %w", i, err)
	}
	state := string(out)
	if !strings.Contains(state, "ActiveState=inactive\n") || !strings.Contains(state, dropIn(i.Unit(), id)) {
		return "", fmt.Errorf("%s is not kept stopped: %s", i, strings.Join(strings.Fields(state), " "))
	}
	return proof + ", and its service is inactive and cannot be started", nil
}
