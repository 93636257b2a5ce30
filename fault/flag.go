package fault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"faultline/clusters"
)

// KindSetFlag is the fault of a setting that works and should not be.
const KindSetFlag Kind = "set-flag"

// SetFlag adds a flag to the command of static pods or kubelets, as a wrong update does that
// a component does not mind: `--leader-elect=false` for all schedulers, say. Of a flag that
// is given twice these components take the last, and a kubelet's flags win over its
// configuration file. The kubelet ends the pod of the old manifest and starts that of the new
// one; pods outlive a kubelet that starts anew. The flag survives a reboot of the node.
//
// The manifest waits in the fault's directory on its node, as in Stop; a kubelet's service
// gets a drop-in, as in CrashLoop.
//
// Proof: the process is gone, and another has the flag on its command line. Undo: the
// manifest is put back, never over a newer one; the drop-in is removed and the kubelet
// restarted. Healed: a process without the flag runs and stays.
func SetFlag(flag string, instances ...clusters.Instance) Fault {
	return SetFlags([]string{flag}, instances...)
}

// SetFlags is SetFlag for several flags that mean something only together.
func SetFlags(flags []string, instances ...clusters.Instance) Fault {
	return onInstances(KindSetFlag, instances, func(ctx context.Context, i clusters.Instance, id string) (effect, error) {
		return planSetFlags(ctx, i, id, flags)
	})
}

func planSetFlags(ctx context.Context, i clusters.Instance, id string, flags []string) (effect, error) {
	if len(flags) == 0 {
		return effect{}, errors.New("no flag given")
	}
	for _, flag := range flags {
		if !strings.HasPrefix(flag, "--") || strings.ContainsAny(flag, " \t\n\x00") {
			return effect{}, fmt.Errorf("%q is no flag: want --name=value, in one word", flag)
		}
	}
	if !i.Static() && i.Component != clusters.Kubelet {
		return effect{}, fmt.Errorf("%s is neither a static pod nor a kubelet, so nobody knows which of its flags would count", i)
	}
	ps, err := running(ctx, i)
	if err != nil {
		return effect{}, err
	}
	given, err := givenFlags(ctx, i, ps[0], flags)
	if err != nil {
		return effect{}, err
	}
	if len(given) > 0 {
		return effect{}, fmt.Errorf("%s has the flag %s already", i, given[0])
	}
	e := effect{
		prove:     func(ctx context.Context) (string, error) { return proveFlags(ctx, i, ps, flags) },
		landing:   stopLanding,
		serves:    true,
		recovered: func(ctx context.Context) (time.Time, error) { return staysWithout(ctx, i, flags) },
	}
	if !i.Static() {
		return e, e.breakService(ctx, i, id, flags...)
	}
	return e, e.breakManifest(ctx, i, ps, id, flags...)
}

// givenFlags are those of the flags with which the process was started.
func givenFlags(ctx context.Context, i clusters.Instance, p clusters.Process, flags []string) ([]string, error) {
	argv, err := commandLine(ctx, i, p)
	return slices.DeleteFunc(slices.Clone(flags), func(flag string) bool { return !slices.Contains(argv, flag) }), err
}

func proveFlags(ctx context.Context, i clusters.Instance, former []clusters.Process, flags []string) (string, error) {
	gone, err := proveGone(ctx, i, former)
	if err != nil {
		return "", err
	}
	p, err := i.Process(ctx)
	if err != nil {
		return "", err
	}
	given, err := givenFlags(ctx, i, p, flags)
	if err == nil && len(given) < len(flags) {
		err = fmt.Errorf("process %d of %s does not have the flag %s: it has %v", p.PID, i, strings.Join(flags, " "), given)
	}
	return fmt.Sprintf("%s; process %d has the flag %s", gone, p.PID, strings.Join(flags, " ")), err
}

// staysWithout waits for a process without the flags that stays.
func staysWithout(ctx context.Context, i clusters.Instance, flags []string) (time.Time, error) {
	err := clusters.Await(ctx, healingPoll, i.String()+" to run without "+strings.Join(flags, " "), func(ctx context.Context) error {
		p, err := i.Process(ctx)
		if err != nil {
			return err
		}
		given, err := givenFlags(ctx, i, p, flags)
		if err == nil && len(given) > 0 {
			err = fmt.Errorf("process %d has %v", p.PID, given)
		}
		return err
	})
	if err != nil {
		return time.Time{}, err
	}
	return stays(i)(ctx)
}
