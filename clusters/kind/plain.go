package kind

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/kind/pkg/cluster"

	"faultline/clusters"
)

// CreatePlain creates what the plain kind command would make of the same number of
// nodes, with the same image and no setting of ours but those without which this
// machine runs no node. It returns when kind calls its control plane ready. It is a
// yardstick for Create, and is removed with Delete.
func CreatePlain(ctx context.Context, o Options) error {
	name := ClusterName(o.Run, o.Sequence)
	if err := refuseForeign(ctx, o.Engine, name); err != nil {
		return err
	}
	b := newBoot(o, cluster.NewProvider(o.Engine.ProviderOption()))
	if err := b.makeFolders(); err != nil {
		return err
	}
	if err := ensureNetwork(ctx, o.Engine, o.Run); err != nil {
		return err
	}
	machine, err := examine()
	if err != nil {
		return err
	}
	err = interruptible(ctx, o.Engine, name, o.Dir, func() error {
		return b.provider.Create(name,
			cluster.CreateWithV1Alpha4Config(b.plainConfig(machine)),
			cluster.CreateWithNodeImage(o.Images.Node),
			cluster.CreateWithKubeconfigPath(b.dir+"/kubeconfig"),
			cluster.CreateWithWaitForReady(5*time.Minute),
		)
	})
	if err != nil {
		return fmt.Errorf("create the plain cluster %s: %w", name, withOutput(err))
	}
	return nil
}

func (b *boot) plainConfig(machine Machine) *v1alpha4.Cluster {
	config := &v1alpha4.Cluster{
		TypeMeta:             v1alpha4.TypeMeta{APIVersion: "kind.x-k8s.io/v1alpha4", Kind: "Cluster"},
		KubeadmConfigPatches: []string{kubeletPatch(clusters.DocumentedProfile(), machine)},
	}
	if machine.RestrictedCapabilities {
		config.ContainerdConfigPatches = []string{oomPatch}
	}
	for _, m := range b.placed(clusters.Role.Kubernetes) {
		config.Nodes = append(config.Nodes, v1alpha4.Node{Role: v1alpha4.NodeRole(m.Role)})
	}
	return config
}
