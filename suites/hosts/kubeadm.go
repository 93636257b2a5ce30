package hosts

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// phase has kubeadm do a phase of its init once more on a master, as a tool does that applies a
// configuration. Its path is one on the master.
func phase(ctx context.Context, master *clusters.Node, configuration string, words ...string) error {
	argv := append([]string{"kubeadm", "init", "phase"}, words...)
	_, err := master.Exec(ctx, append(argv, "--config="+configuration)...)
	return err
}

// document is one of those that a configuration of kubeadm's consists of.
type document = map[string]any

// Kinds of documents.
const (
	ofCluster = "ClusterConfiguration"
	ofInit    = "InitConfiguration"
)

const betweenDocuments = "\n---\n"

// rewrite changes the document of a kind in a configuration.
func rewrite(configuration []byte, kind string, change func(document)) ([]byte, error) {
	texts := strings.Split(string(configuration), betweenDocuments)
	for n, text := range texts {
		found := document{}
		if err := yaml.Unmarshal([]byte(text), &found); err != nil {
			return nil, fmt.Errorf("kubeadm's configuration: %w", err)
		}
		if found["kind"] != kind {
			continue
		}
		change(found)
		changed, err := yaml.Marshal(found)
		if err != nil {
			return nil, err
		}
		texts[n] = string(changed)
		return []byte(strings.Join(texts, betweenDocuments)), nil
	}
	return nil, fmt.Errorf("kubeadm's configuration has no %s", kind)
}

// declareByHand declares the scheduler's flag in the document of the cluster.
func declareByHand(cluster document) {
	scheduler, _ := cluster["scheduler"].(document)
	if scheduler == nil {
		scheduler = document{}
	}
	name, value, _ := strings.Cut(strings.TrimPrefix(byHand, "--"), "=")
	arguments, _ := scheduler["extraArgs"].([]any)
	scheduler["extraArgs"] = append(arguments, document{"name": name, "value": value})
	cluster["scheduler"] = scheduler
}

// ownConfiguration is what kubeadm has made a master from.
func ownConfiguration(ctx context.Context, master *clusters.Node) ([]byte, error) {
	return master.Exec(ctx, "cat", clusters.KubeadmConfig)
}

// differs fails unless the cluster is made as it was before but for these lines.
func differs(d *Drill, before []string, lines ...string) Request {
	return func(ctx context.Context, _ kubernetes.Interface) error {
		now, err := d.Fingerprint(ctx)
		if err != nil {
			return err
		}
		return OnlyChanged(before, now, lines...)
	}
}
