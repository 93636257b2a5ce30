package overload

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// Plane is the control plane as it was: the process of each component, how often each lock had
// changed hands, and the term of etcd.
type Plane struct {
	processes map[clusters.Instance]clusters.Process
	handOvers map[clusters.Component]int
	term      uint64
}

// ControlPlane is the control plane as it is now.
func ControlPlane(ctx context.Context, d *Drill) Plane {
	GinkgoHelper()
	p := Plane{map[clusters.Instance]clusters.Process{}, map[clusters.Component]int{}, d.EtcdTerm()}
	for _, component := range clusters.Stack {
		for _, i := range d.Instances(component) {
			before, err := i.Process(ctx)
			Expect(err).NotTo(HaveOccurred())
			p.processes[i] = before
		}
		if component.Elected() {
			p.handOvers[component] = d.HandOvers(component)
		}
	}
	return p
}

// Replaced fails unless every component has the process that it had.
func (p Plane) Replaced(ctx context.Context) error {
	var errs []error
	for i, before := range p.processes {
		now, err := i.Process(ctx)
		if err != nil || !now.Is(before) {
			errs = append(errs, errors.Join(fmt.Errorf("%s was process %d and is process %d", i, before.PID, now.PID), err))
		}
	}
	return errors.Join(errs...)
}

// killedStatus is the exit status of a container that was killed (SIGKILL), as the kernel
// does for want of memory.
const killedStatus = 128 + 9

// killed fails unless every component that has another process than it had ended by itself, as
// one does that has lost its lock.
func (p Plane) killed(ctx context.Context) error {
	for i, before := range p.processes {
		if now, err := i.Process(ctx); err == nil && now.Is(before) {
			continue
		}
		switch status, err := i.LastExit(ctx); {
		case err != nil:
			return err
		case status == killedStatus:
			return fmt.Errorf("%s was killed", i)
		}
	}
	return nil
}

// Deposed fails unless nobody has lost a lock.
func (p Plane) Deposed(d *Drill) error {
	for component, before := range p.handOvers {
		if now := d.HandOvers(component); now != before {
			return fmt.Errorf("the lease of %s has changed hands %d times", component, now-before)
		}
	}
	return nil
}

// Elected fails unless etcd has elected nobody.
func (p Plane) Elected(d *Drill) error {
	if now := d.EtcdTerm(); now != p.term {
		return fmt.Errorf("etcd has elected: its term was %d and is %d", p.term, now)
	}
	return nil
}

// outlives fails unless the kernel would kill a pod's process for want of memory before that
// of any static pod: it weighs both by what the kubelet has told it.
func (p Plane) outlives(ctx context.Context, hog clusters.Instance) error {
	process, err := hog.Process(ctx)
	if err != nil {
		return err
	}
	first, err := weight(ctx, hog, process)
	if err != nil {
		return err
	}
	for i, process := range p.processes {
		later, err := weight(ctx, i, process)
		if err != nil {
			return err
		}
		if later >= first {
			return fmt.Errorf("%s has the weight %d and the hog %d", i, later, first)
		}
	}
	return nil
}

// weight is a process's oom_score_adj.
func weight(ctx context.Context, i clusters.Instance, p clusters.Process) (int, error) {
	out, err := i.Node.Exec(ctx, "cat", fmt.Sprintf("/proc/%d/oom_score_adj", p.PID))
	if err != nil {
		return 0, fmt.Errorf("the weight of %s: %w", i, err)
	}
	return strconv.Atoi(strings.TrimSpace(string(out)))
}
