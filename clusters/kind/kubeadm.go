package kind

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"faultline/clusters"
)

// kind makes the containers and writes kubeadm's configuration; what follows is done
// here, because only in between can disks be mounted, etcd servers be trusted and
// names be given, and because nodes can join side by side.

// startKubernetes runs kubeadm on all nodes.
func (b *boot) startKubernetes(ctx context.Context) error {
	masters := b.cluster.With(clusters.ControlPlane)
	first := masters[0]
	b.step.Update("kubeadm init")
	if err := kubeadm(ctx, first, "init", "--skip-token-print"); err != nil {
		return err
	}
	var group errgroup.Group
	group.Go(func() error { return b.installAddons(ctx, first) })
	b.step.Update("kubeadm join")
	group.Go(func() error { return b.joinMasters(ctx, first, masters[1:]) })
	for _, n := range b.cluster.With(clusters.Worker) {
		group.Go(func() error { return join(ctx, n) })
	}
	return group.Wait()
}

// join has a node join. kind's load balancer takes a new API server for healthy before that
// has read who may do what (/healthz leaves informer-sync out, /readyz does not), so that
// kubeadm may be refused, or put off for all the time that it has, when it looks whether the
// node exists. Nothing of the cluster has changed then, and kind skips the phase that would
// mind a second try.
func join(ctx context.Context, n *clusters.Node) error {
	for end := time.Now().Add(refusedTime); ; {
		err := kubeadm(ctx, n, "join")
		if !refusedTooSoon(err) || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

// refusedTime is how long new API servers may refuse what a boot asks of them.
const refusedTime = 30 * time.Second

// refusals are of an API server that does not know yet who asks, or what that may do, and of one
// that says "later" again and again.
var refusals = []string{"Unauthorized", "is forbidden", "context deadline exceeded"}

// refusedTooSoon tells whether kubeadm ended because an API server was not ready to say yes.
func refusedTooSoon(err error) bool {
	return err != nil && strings.Contains(err.Error(), "cannot get Node") &&
		slices.ContainsFunc(refusals, func(words string) bool { return strings.Contains(err.Error(), words) })
}

// kubeadmScript keeps what kubeadm says on the node, and shows its end when it fails.
const kubeadmScript = `kubeadm "$@" > /var/log/kubeadm.log 2>&1 || { tail -n 25 /var/log/kubeadm.log >&2; exit 1; }`

func kubeadm(ctx context.Context, n *clusters.Node, verb string, flags ...string) error {
	argv := append([]string{"sh", "-c", kubeadmScript, "sh", verb, "--config=" + clusters.KubeadmConfig, "--v=5"}, flags...)
	if _, err := n.Exec(ctx, argv...); err != nil {
		return fmt.Errorf("kubeadm %s on %s: %w", verb, n.Name, err)
	}
	return nil
}

// sharedSecrets are the files that all control planes have in common. The paths are
// kubeadm's, below its folder.
var sharedSecrets = []string{"pki/ca.crt", "pki/ca.key", "pki/front-proxy-ca.crt", "pki/front-proxy-ca.key", "pki/sa.pub", "pki/sa.key"}

// joinMasters gives the other masters what they share with the first and lets them
// join at the same time. etcd accepts one learner at a time; kubeadm tries again
// until it is this one's turn.
func (b *boot) joinMasters(ctx context.Context, first *clusters.Node, others []*clusters.Node) error {
	if len(others) == 0 {
		return nil
	}
	argv := append([]string{"tar", "-c", "-C", "/etc/kubernetes"}, sharedSecrets...)
	if b.Topology.EtcdRole() == clusters.ControlPlane {
		argv = append(argv, "pki/etcd/ca.crt", "pki/etcd/ca.key")
	}
	archive, err := first.Exec(ctx, argv...)
	if err != nil {
		return fmt.Errorf("read the cluster's certificates on %s: %w", first.Name, err)
	}
	var group errgroup.Group
	for _, n := range others {
		group.Go(func() error {
			if _, err := n.ExecInput(ctx, bytes.NewReader(archive), "tar", "-x", "-C", "/etc/kubernetes"); err != nil {
				return fmt.Errorf("copy the cluster's certificates to %s: %w", n.Name, err)
			}
			return join(ctx, n)
		})
	}
	return group.Wait()
}

// installAddons applies the node image's own pod network and storage class.
func (b *boot) installAddons(ctx context.Context, master *clusters.Node) error {
	network, err := master.Exec(ctx, "cat", "/kind/manifests/default-cni.yaml")
	if err != nil {
		return fmt.Errorf("read the pod network's manifest on %s: %w", master.Name, err)
	}
	filled, err := fillNetwork(network, b.cluster.FrontName())
	if err != nil {
		return fmt.Errorf("manifest of the pod network on %s: %w", master.Name, err)
	}
	script := `cat > /run/faultline-network.yaml
export KUBECONFIG=/etc/kubernetes/admin.conf
kubectl apply --validate=false -f /run/faultline-network.yaml -f /kind/manifests/default-storage.yaml`
	ctx, cancel := context.WithTimeout(ctx, refusedTime)
	defer cancel()
	return clusters.Await(ctx, time.Second, "the pod network and the storage class", func(ctx context.Context) error {
		_, err := master.ExecInput(ctx, bytes.NewReader(filled), "sh", "-ec", script)
		return err
	})
}

// podSubnet is kind's.
const podSubnet = "10.244.0.0/16"

// fillNetwork does to the manifest of a kind node image what kind does: it fills in the
// pods' subnet and tells the agents where the API is, so that they need not wait for
// kube-proxy.
func fillNetwork(manifest []byte, endpoint string) ([]byte, error) {
	parsed, err := template.New("network").Parse(string(manifest))
	if err != nil {
		return nil, err
	}
	var filled bytes.Buffer
	if err := parsed.Execute(&filled, struct{ PodSubnet string }{podSubnet}); err != nil {
		return nil, err
	}
	documents := strings.Split(filled.String(), "\n---")
	for i, document := range documents {
		if !strings.Contains(document, "kind: DaemonSet") {
			continue
		}
		var set appsv1.DaemonSet
		if err := yaml.Unmarshal([]byte(document), &set); err != nil {
			return nil, err
		}
		agent := &set.Spec.Template.Spec.Containers[0]
		agent.Env = append(agent.Env, corev1.EnvVar{Name: "CONTROL_PLANE_ENDPOINT", Value: endpoint})
		text, err := yaml.Marshal(set)
		if err != nil {
			return nil, err
		}
		documents[i] = "\n" + string(text)
	}
	return []byte(strings.Join(documents, "\n---")), nil
}
