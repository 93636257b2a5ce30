package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/clusters/existing"
	"faultline/suites/probe"
	"faultline/suites/rundir"
)

// dayNamespaces are all that a game day creates in a cluster.
func dayNamespaces() []string { return append(probe.Namespaces(), existing.Namespace) }

// refuseSecondDay fails where another game day is under way on the cluster or has left something:
// two of them would take each other's probes and ways for their own.
func refuseSecondDay(ctx context.Context, client kubernetes.Interface) error {
	for _, name := range dayNamespaces() {
		found, err := client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look whether another game day is under way on this cluster: %w", err)
		}
		run, ours := found.Labels[clusters.RunLabel]
		if !ours {
			return fmt.Errorf("namespace %s is there already, and no run is named on it: whoever made it has to remove it first (kubectl delete namespace %s)", name, name)
		}
		return fmt.Errorf("namespace %s is there already, of run %s: another game day is under way on this cluster, or one was killed; "+
			"after that run, on the machine that it ran on: make chaos-recover", name, run)
	}
	return nil
}

// leave takes away the way to the nodes, unless a fault is still open that has to be undone
// over it, and with it the reaper, who would do so after a kill.
func (d *day) leave(ctx context.Context) error {
	return errors.Join(leaveUnlessOpen(ctx, d.dir), d.reaper.stop())
}

func leaveUnlessOpen(ctx context.Context, dir rundir.Dir) error {
	if open := stillOpen(dir); len(open) > 0 {
		return fmt.Errorf("the way to the nodes stays for make chaos-recover: %s", strings.Join(open, "; "))
	}
	return leaveTarget(ctx, dir)
}

// stillOpen lists the faults that are not proven undone, or says that nobody knows.
func stillOpen(dir rundir.Dir) []string {
	open, err := notRestored(dir)
	if err != nil {
		return []string{fmt.Sprintf("it is not known which faults are undone: %v", err)}
	}
	return open
}

// leaveTarget removes what a game day has left on its cluster, and its private state.
func leaveTarget(ctx context.Context, dir rundir.Dir) error {
	trail, err := existing.LoadTrail(dir.Trail())
	if errors.Is(err, os.ErrNotExist) {
		return dir.RemoveState()
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	if err := trail.Remove(ctx, dayNamespaces()...); err != nil {
		return fmt.Errorf("remove what the day has created in the cluster: %w; try again with: make chaos-recover", err)
	}
	return dir.RemoveState()
}

// leaveTime limits how long the pods may take to end.
const leaveTime = 3 * time.Minute

// wayOf is the way to the nodes of a run's game day; nil: it was none.
func wayOf(dir rundir.Dir) (clusters.Shell, error) {
	trail, err := existing.LoadTrail(dir.Trail())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return trail.Shell()
}
