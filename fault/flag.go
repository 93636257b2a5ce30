package fault

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"faultline/clusters"
)

// KindSetFlag is the fault of a setting that works and should not be.
const KindSetFlag Kind = "set-flag"

// SetFlag adds a flag to the command of static pods, as a wrong update does that a
// component does not mind: `--leader-elect=false` for all schedulers, say. Of a flag that is
// given twice these components take the last. The kubelet ends the pod of the old manifest
// and starts that of the new one. The flag survives a reboot of the node.
//
// The manifest waits in the fault's directory on its node, as in Stop.
//
// Proof: the process is gone, and another has the flag on its command line. Undo: the
// manifest is put back, never over a newer one. Healed: a process without the flag runs
// and stays.
func SetFlag(flag string, instances ...clusters.Instance) Fault {
	return onInstances(KindSetFlag, instances, func(ctx context.Context, i clusters.Instance, id string) (effect, error) {
		return planSetFlag(ctx, i, id, flag)
	})
}

func planSetFlag(ctx context.Context, i clusters.Instance, id, flag string) (effect, error) {
	if !strings.HasPrefix(flag, "--") || strings.ContainsAny(flag, " \t\n\x00") {
		return effect{}, fmt.Errorf("%q is no flag: want --name=value, in one word", flag)
	}
	if !i.Static() {
		return effect{}, fmt.Errorf("%s is no static pod, so it has no manifest for a flag", i)
	}
	ps, err := running(ctx, i)
	if err != nil {
		return effect{}, err
	}
	has, err := hasFlag(ctx, i, ps[0], flag)
	if err != nil {
		return effect{}, err
	}
	if has {
		return effect{}, fmt.Errorf("%s has the flag %s already", i, flag)
	}
	e := effect{
		prove:     func(ctx context.Context) (string, error) { return proveFlag(ctx, i, ps, flag) },
		landing:   stopLanding,
		serves:    true,
		recovered: func(ctx context.Context) (time.Time, error) { return staysWithout(ctx, i, flag) },
	}
	return e, e.breakManifest(ctx, i, ps, id, flag)
}

// hasFlag tells whether the process was started with the flag.
func hasFlag(ctx context.Context, i clusters.Instance, p clusters.Process, flag string) (bool, error) {
	argv, err := commandLine(ctx, i, p)
	return slices.Contains(argv, flag), err
}

func proveFlag(ctx context.Context, i clusters.Instance, former []clusters.Process, flag string) (string, error) {
	gone, err := proveGone(ctx, i, former)
	if err != nil {
		return "", err
	}
	p, err := i.Process(ctx)
	if err != nil {
		return "", err
	}
	has, err := hasFlag(ctx, i, p, flag)
	if err == nil && !has {
		err = fmt.Errorf("process %d of %s does not have the flag %s", p.PID, i, flag)
	}
	return fmt.Sprintf("%s; process %d has the flag %s", gone, p.PID, flag), err
}

// staysWithout waits for a process without the flag that stays.
func staysWithout(ctx context.Context, i clusters.Instance, flag string) (time.Time, error) {
	err := clusters.Await(ctx, healingPoll, i.String()+" to run without "+flag, func(ctx context.Context) error {
		p, err := i.Process(ctx)
		if err != nil {
			return err
		}
		has, err := hasFlag(ctx, i, p, flag)
		if err == nil && has {
			err = fmt.Errorf("process %d has it", p.PID)
		}
		return err
	})
	if err != nil {
		return time.Time{}, err
	}
	return stays(i, func(clusters.Process) bool { return true })(ctx)
}
