package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"faultline/clusters"
)

// KindStop is the fault of a manifest that is away.
const KindStop Kind = "stop"

// stopLanding covers the kubelet's look at its files every 20 s, should inotify miss
// the change and the kubelet restart what was killed, and the grace period of 30 s.
const stopLanding = 90 * time.Second

// Stop takes the manifests of static pods away. The kubelet watches the directory,
// ends the pod with SIGTERM, and does not restart it; it needs no API server for
// that. Only the mirror pod in the API tells a stopped component from a crashed
// one. A process that has not ended after 3 s is killed: an API server refuses
// requests at once and then waits for its clients' watches to end, in vain, until
// the pod's grace period of 30 s is over.
//
// The manifest waits in the fault's directory on its node. It is copied, synced and
// renamed, because the two directories may be different filesystems; on its way
// back it has a hidden name, which the kubelet ignores, until it is whole.
//
// Proof: the manifest and every process of the component are gone. Undo: the manifest
// is moved back, never over a newer one. Healed: a process runs and stays.
func Stop(instances ...clusters.Instance) Fault {
	return onInstances(KindStop, instances, planStop)
}

// stopScript moves the manifest $2 away, for the fault $1, and sees to the end of PID $3
// that started at $4.
const stopScript = enter + armed + same + takeManifest + `take "$2"
` + hasten

// hasten kills PID $3 that started at $4 after 3 s. Killed before the kubelet has looked,
// it would be restarted.
const hasten = `for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
  same "$3" "$4" || exit 0
  sleep 0.2
done
if same "$3" "$4"; then kill -s KILL "$3" || true; fi
`

// restoreScript undoes stopScript and crashScript, wherever those were interrupted.
const restoreScript = enter + bringManifest + `bring "$2"
` + leave

// takeManifest defines take, which moves the manifest $1 into the fault's directory.
const takeManifest = `take() {
  cp -p "$1" "$d/copy"
  sync "$d/copy"
  mv "$d/copy" "$d/manifest"
  sync "$d"
  rm "$1"
}
`

// bringManifest defines bring, which undoes take, wherever that was interrupted. What
// crashScript has put in place is known by its copy.
const bringManifest = `bring() {
  hidden=$(dirname "$1")/.faultline-$(basename "$d")
  if [ -e "$d/manifest" ]; then
    if [ ! -e "$1" ] || cmp -s "$d/broken" "$1"; then
      cp -p "$d/manifest" "$hidden"
      sync "$hidden"
      mv "$hidden" "$1"
    fi
    if ! cmp -s "$d/manifest" "$1"; then
      echo "somebody put another $1 in place; the old one is kept as $d/manifest: compare them and remove that" >&2
      exit 1
    fi
    rm "$d/manifest"
  fi
  rm -f "$d/copy" "$d/broken" "$hidden"
}
`

// existsScript tells whether the file $1 is there.
const existsScript = `if [ -f "$1" ]; then echo yes; else echo no; fi`

func planStop(ctx context.Context, i clusters.Instance, id string) (effect, error) {
	if !i.Static() {
		return effect{}, fmt.Errorf("%s is no static pod, so it has no manifest to take away: kill or pause it instead", i)
	}
	ps, err := running(ctx, i)
	if err != nil {
		return effect{}, err
	}
	there, err := hasManifest(ctx, i)
	if err != nil {
		return effect{}, err
	}
	if !there {
		return effect{}, fmt.Errorf("%s has no manifest %s: it is stopped already, or its kubelet reads another directory",
			i, i.Manifest())
	}
	return effect{
		inject:    command(stopScript, append([]string{id, i.Manifest()}, identity(ps[:1])...)...),
		undo:      command(restoreScript, id, i.Manifest()),
		prove:     func(ctx context.Context) (string, error) { return proveAbsent(ctx, i, ps) },
		landing:   stopLanding,
		recovered: stays(i),
	}, nil
}

func hasManifest(ctx context.Context, i clusters.Instance) (bool, error) {
	out, err := i.Node.Exec(ctx, command(existsScript, i.Manifest())...)
	if err != nil {
		return false, fmt.Errorf("look for the manifest of %s: %w", i, err)
	}
	return strings.TrimSpace(string(out)) == "yes", nil
}

// proveAbsent waits for the known process on the node, then looks for any other.
func proveAbsent(ctx context.Context, i clusters.Instance, known []clusters.Process) (string, error) {
	if _, err := proveGone(ctx, i, known); err != nil {
		return "", err
	}
	p, err := i.Process(ctx)
	if err == nil {
		return "", fmt.Errorf("process %d of %s is still there (state %s)", p.PID, i, p.State)
	}
	if !errors.Is(err, clusters.ErrNoProcess) {
		return "", err
	}
	there, err := hasManifest(ctx, i)
	if err != nil {
		return "", err
	}
	if there {
		return "", fmt.Errorf("%s still has its manifest %s", i, i.Manifest())
	}
	return fmt.Sprintf("%s has neither a manifest nor a process", i), nil
}
