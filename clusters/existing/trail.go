package existing

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"faultline/clusters"
)

// Trail is how nodes were reached, for a process that comes later. It holds no secret: the
// kubeconfig is only named.
type Trail struct {
	Kubeconfig, Context string
	// Run is on the namespaces that were created.
	Run string
	// Command is the user's own, see ByCommand; empty: over pods.
	Command string
	// Addresses are those of all machines, by name.
	Addresses map[string]string
	// Kubelets are those of the nodes, where pods are the way.
	Kubelets map[string]kubelet
}

// Trail tells how the nodes of what was found are reached.
func (f *Found) Trail(kubeconfig, command string) (Trail, error) {
	path, err := filepath.Abs(kubeconfig)
	if err != nil {
		return Trail{}, err
	}
	t := Trail{Kubeconfig: path, Context: f.Cluster.Name, Run: f.Cluster.Run, Command: command, Addresses: map[string]string{}}
	for _, n := range f.Cluster.Nodes {
		t.Addresses[n.Name] = n.Address
	}
	if command == "" {
		t.Kubelets = f.kubelets
	}
	return t, nil
}

// Save writes the trail to a file that only the user may read.
func (t Trail) Save(path string) error {
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// LoadTrail reads what Save has written.
func LoadTrail(path string) (Trail, error) {
	var t Trail
	text, err := os.ReadFile(path)
	if err != nil {
		return t, err
	}
	if err := json.Unmarshal(text, &t); err != nil {
		return t, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// Shell is the way to the nodes again. It needs no API server.
func (t Trail) Shell() (clusters.Shell, error) {
	if t.Command != "" {
		var nodes []*clusters.Node
		for name, address := range t.Addresses {
			nodes = append(nodes, &clusters.Node{Name: name, Address: address})
		}
		return ByCommand(t.Command, nodes)
	}
	target, err := Open(t.Kubeconfig, t.Context)
	if err != nil {
		return nil, err
	}
	return shellOf(target, t.Kubelets), nil
}

// Remove deletes those of the namespaces that the run has created in the cluster.
func (t Trail) Remove(ctx context.Context, namespaces ...string) error {
	target, err := Open(t.Kubeconfig, t.Context)
	if err != nil {
		return err
	}
	return clusters.RemoveNamespacesOf(ctx, target.client, t.Run, namespaces...)
}
