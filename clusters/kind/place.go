package kind

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"faultline/clusters"
)

// kubeadm runs one of each component on a control-plane node and none elsewhere. A
// topology that says otherwise is made from kubeadm's manifests: moved to another
// node, or copied with other ports.

// placeComponents makes the nodes run what the topology says.
func (b *boot) placeComponents(ctx context.Context) error {
	master := b.cluster.With(clusters.ControlPlane)[0]
	for _, n := range b.cluster.Nodes {
		if !n.Role.Kubernetes() {
			continue
		}
		for _, component := range []clusters.Component{clusters.Etcd, clusters.APIServer, clusters.Scheduler, clusters.ControllerManager} {
			for _, i := range n.Instances(component) {
				if err := b.placeInstance(ctx, master, i); err != nil {
					return fmt.Errorf("place %s: %w", i, err)
				}
			}
		}
	}
	return b.removeMoved(ctx, master)
}

func (b *boot) placeInstance(ctx context.Context, master *clusters.Node, i clusters.Instance) error {
	switch {
	case i.Node.Role == clusters.Worker:
		return b.move(ctx, master, i)
	case i.Copy == 0:
		return nil
	case i.Component == clusters.Etcd:
		return b.addMember(ctx, i)
	default:
		return b.copy(ctx, i)
	}
}

// move brings a component that has no state of its own to a worker, with the secrets
// of the control plane that it reads.
func (b *boot) move(ctx context.Context, master *clusters.Node, i clusters.Instance) error {
	// The addresses that each of them talks to are those of its old node.
	archive, err := master.Exec(ctx, "tar", "-c", "-C", "/", strings.TrimPrefix(i.Manifest(), "/"), strings.TrimPrefix(i.Kubeconfig(), "/"),
		"etc/kubernetes/pki/ca.crt", "etc/kubernetes/pki/ca.key", "etc/kubernetes/pki/front-proxy-ca.crt", "etc/kubernetes/pki/sa.key")
	if err != nil {
		return fmt.Errorf("read its files on %s: %w", master.Name, err)
	}
	_, err = i.Node.ExecInput(ctx, bytes.NewReader(archive), "tar", "-x", "-C", "/")
	return err
}

// removeMoved takes from the first master what the topology places elsewhere.
func (b *boot) removeMoved(ctx context.Context, master *clusters.Node) error {
	for _, component := range []clusters.Component{clusters.Scheduler, clusters.ControllerManager} {
		if len(master.Instances(component)) > 0 {
			continue
		}
		i := clusters.Instance{Component: component, Node: master}
		if _, err := master.Exec(ctx, "rm", "-f", i.Manifest()); err != nil {
			return fmt.Errorf("remove %s: %w", i, err)
		}
	}
	return nil
}
