package fault

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"faultline/clusters"
)

// KindCrashLoop is the fault of a setting that keeps a component from starting.
const KindCrashLoop Kind = "crash-loop"

// crashers are the components that name a flag which they do not know, and exit.
var crashers = []clusters.Component{
	clusters.Etcd, clusters.APIServer, clusters.Scheduler, clusters.ControllerManager, clusters.Kubelet, clusters.ContainerRuntime,
}

// crashLines is how much of a log is searched for the flag: containerd prints its help
// after it.
const crashLines = 100

// crashLanding covers the kubelet's wish to delete the former pod's mirror before it starts
// the new one: when etcd has ended, the API server may hang for a minute before it answers.
const crashLanding = 3 * time.Minute

// CrashLoop gives the instances a flag that they do not know, as a bad update does to a
// manifest or to a service: each start prints the error and exits. The kubelet ends the
// pod of the old manifest, starts that of the new one and backs off from 10 s to
// crashLoopBackOff.maxContainerRestartPeriod (5 min by default); systemd tries again after
// RestartSec. The back-off belongs to the bad pod, so that the good one starts at once.
// The flag survives a reboot of the node.
//
// The manifest waits in the fault's directory on its node, as in Stop. A service gets a
// drop-in after its others, which adds the flag to its command and, so that it goes on,
// takes systemd's limit of starts away.
//
// Proof: the process is gone, another has exited with a status that is not 0 and was
// started again, and the log names the flag, which bears the fault's ID. Undo: the
// manifest is put back, never over a newer one; the drop-in is removed and the service
// restarted. Healed: another process runs and stays.
func CrashLoop(instances ...clusters.Instance) Fault {
	return onInstances(KindCrashLoop, instances, planCrashLoop)
}

func planCrashLoop(ctx context.Context, i clusters.Instance, id string) (effect, error) {
	if !slices.Contains(crashers, i.Component) {
		return effect{}, fmt.Errorf("%s cannot be given a bad flag, only one of %v: kill it or hold it down instead", i, crashers)
	}
	ps, err := running(ctx, i)
	if err != nil {
		return effect{}, err
	}
	again, err := restarts(ctx, i)
	if err != nil {
		return effect{}, err
	}
	if !again {
		return effect{}, fmt.Errorf("%w: systemd does not restart %s (Restart=no), so that it would not loop: stop the service instead",
			clusters.ErrUnsupported, i)
	}
	e := effect{
		prove:     func(ctx context.Context) (string, error) { return proveCrashing(ctx, i, ps, badFlag(id)) },
		landing:   crashLanding,
		recovered: stays(i, ps[0]),
	}
	if !i.Static() {
		return e, e.breakService(ctx, i, id, badFlag(id))
	}
	return e, e.breakManifest(ctx, i, ps, id, badFlag(id))
}

// badFlag is known to nobody, and in a log it stands for one fault only.
func badFlag(id string) string { return "--faultline-" + id }

// crashScript puts other content, $6, in the place of the manifest $2, for the fault $1,
// and sees to the end of PID $3 that started at $4. $5 is the sum of what is replaced.
const crashScript = enter + armed + same + `cp -p "$2" "$d/copy"
if [ "$(sha256sum < "$d/copy" | cut -d' ' -f1)" != "$5" ]; then
  echo "somebody has changed $2 meanwhile: try again" >&2
  exit 1
fi
sync "$d/copy"
mv "$d/copy" "$d/manifest"
printf '%s' "$6" > "$d/broken"
sync "$d/broken"
sync "$d"
hidden=$(dirname "$2")/.faultline-$1
cp -p "$2" "$hidden"
cat "$d/broken" > "$hidden"
sync "$hidden"
mv "$hidden" "$2"
` + hasten

// breakManifest plans flags for a static pod.
func (e *effect) breakManifest(ctx context.Context, i clusters.Instance, ps []clusters.Process, id string, flags ...string) error {
	manifest, err := i.Node.Exec(ctx, "cat", i.Manifest())
	if err != nil {
		return fmt.Errorf("read the manifest of %s: %w", i, err)
	}
	broken, err := withFlags(manifest, flags...)
	if err != nil {
		return fmt.Errorf("the manifest %s of %s: %w", i.Manifest(), i, err)
	}
	args := append([]string{id, i.Manifest()}, identity(ps[:1])...)
	e.inject = command(crashScript, append(args, sumOf(string(manifest)), string(broken))...)
	e.undo = command(restoreScript, id, i.Manifest())
	return nil
}

// sumOf is what sha256sum prints.
func sumOf(content string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(content))) }

// withFlags is a static pod's manifest with flags more for its first container.
func withFlags(manifest []byte, flags ...string) ([]byte, error) {
	var pod corev1.Pod
	if err := yaml.UnmarshalStrict(manifest, &pod); err != nil {
		return nil, err
	}
	if len(pod.Spec.Containers) == 0 {
		return nil, errors.New("it has no container")
	}
	c := &pod.Spec.Containers[0]
	switch {
	case len(c.Args) > 0:
		c.Args = append(c.Args, flags...)
	case len(c.Command) > 0:
		c.Command = append(c.Command, flags...)
	default:
		return nil, errors.New("its first container has no command that a flag could be added to")
	}
	return yaml.Marshal(pod)
}

// breakService plans flags for a service.
func (e *effect) breakService(ctx context.Context, i clusters.Instance, id string, flags ...string) error {
	unit, err := i.Node.Exec(ctx, "systemctl", "cat", i.Unit())
	if err != nil {
		return fmt.Errorf("read the settings of %s: %w", i, err)
	}
	start, err := startCommand(string(unit))
	if err != nil {
		return fmt.Errorf("the settings of %s: %w", i, err)
	}
	words := unitWords.Replace(strings.Join(flags, " "))
	e.setService(i, id, fmt.Sprintf("[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=\nExecStart=%s %s\n", start, words),
		"restart", "--no-block", i.Unit())
	return nil
}

// unitWords escapes what systemd would expand or unquote in a command.
var unitWords = strings.NewReplacer("%", "%%", "$", "$$", `\`, `\\`, `"`, `\"`, `'`, `\'`)

// startCommand is the value of ExecStart that is in force, out of a unit with its drop-ins
// as `systemctl cat` prints them.
func startCommand(unit string) (string, error) {
	var commands []string
	for line := range strings.Lines(strings.ReplaceAll(unit, "\\\n", " ")) {
		value, ok := strings.CutPrefix(strings.TrimSpace(line), "ExecStart=")
		switch {
		case !ok:
		case value == "":
			commands = nil
		default:
			commands = append(commands, value)
		}
	}
	if len(commands) != 1 {
		return "", fmt.Errorf("%d commands start it (ExecStart), want 1", len(commands))
	}
	return commands[0], nil
}

// podExitScript prints how often the newest container $1 of the node was started again and
// how it exited, and then the last $2 lines of its log.
const podExitScript = `id=$(crictl ps -a -q --name "^$1$" | head -n 1)
[ "$id" ] || exit 0
crictl inspect "$id" | jq -r '.status | "\(.metadata.attempt) \(.exitCode // 0)"'
crictl logs --tail "$2" "$id" 2>&1 || true
`

// serviceExitScript does that for the service $1.
const serviceExitScript = `systemctl show --property=NRestarts --value "$1" | tr '\n' ' '
systemctl show --property=ExecMainStatus --value "$1"
journalctl --no-pager --output=cat -n "$2" -u "$1"
`

// proveCrashing looks at the end of what was started in place of the old processes.
func proveCrashing(ctx context.Context, i clusters.Instance, ps []clusters.Process, flag string) (string, error) {
	proof, err := proveGone(ctx, i, ps)
	if err != nil {
		return "", err
	}
	script, name := podExitScript, i.Name()
	if !i.Static() {
		script, name = serviceExitScript, i.Unit()
	}
	out, err := i.Node.Exec(ctx, command(script, name, strconv.Itoa(crashLines))...)
	if err != nil {
		return "", fmt.Errorf("look at the last end of %s: %w", i, err)
	}
	head, log, _ := strings.Cut(string(out), "\n")
	var restarts, status int
	if _, err := fmt.Sscan(head, &restarts, &status); err != nil {
		return "", fmt.Errorf("look at the last end of %s: got %q, want restarts and status: %w", i, head, err)
	}
	switch {
	case !strings.Contains(log, strings.TrimLeft(flag, "-")):
		return "", fmt.Errorf("the log of %s does not name %s", i, flag)
	case status == 0:
		return "", fmt.Errorf("%s has not exited with an error", i)
	case restarts == 0:
		return "", fmt.Errorf("%s has not been started again", i)
	}
	return fmt.Sprintf("%s; it exits with status %d because of %s, and was started again (%d)", proof, status, flag, restarts), nil
}
