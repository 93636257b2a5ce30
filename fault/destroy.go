package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"faultline/clusters"
)

// ErrIrreversible says that what a fault broke cannot come back.
var ErrIrreversible = errors.New("it is gone for good")

// Destroy ends the nodes for good, as when a machine burns: the container is removed with
// its volumes, so its etcd's data, its certificates and its images are gone. What the
// host keeps outside of the container stays, as a disk does that others use too.
// The cluster goes on without the nodes, which it still lists.
//
// Proof: the engine does not know the node any more. Undo: there is none; Undo only closes
// the fault in the journal. Healed: never. AwaitHealed says ErrIrreversible: the cluster
// has to be replaced, or the node with the means of kubeadm and etcd.
func Destroy(nodes ...*clusters.Node) Fault { return perNode(KindDestroy, nodes, planDestroy) }

func planDestroy(ctx context.Context, n *clusters.Node, _ string) (effect, error) {
	if len(n.Power.Destroy) == 0 {
		return effect{}, fmt.Errorf("node %s cannot be destroyed from this machine", n.Name)
	}
	if err := endable(ctx, n); err != nil {
		return effect{}, err
	}
	machine := clusters.ThisMachine()
	if _, err := statusOf(ctx, machine, n); err != nil {
		return effect{}, fmt.Errorf("it is destroyed already, or the engine does not answer: %w", err)
	}
	return effect{
		node:    machine,
		inject:  n.Power.Destroy,
		prove:   func(ctx context.Context) (string, error) { return proveDestroyed(ctx, machine, n) },
		landing: hostLanding,
		recovered: func(context.Context) (time.Time, error) {
			return time.Time{}, fmt.Errorf("node %s: %w: replace the cluster, or repair it with a new member and node", n.Name, ErrIrreversible)
		},
	}, nil
}

// proveDestroyed tells an engine that does not know the node from one that does not answer.
func proveDestroyed(ctx context.Context, machine, n *clusters.Node) (string, error) {
	status, err := statusOf(ctx, machine, n)
	if err == nil {
		return "", fmt.Errorf("node %s is still there: it is %s", n.Name, status)
	}
	if !strings.Contains(strings.ToLower(err.Error()), "no such") {
		return "", err
	}
	return fmt.Sprintf("the engine knows no node %s", n.Name), nil
}
