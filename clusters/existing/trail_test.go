package existing

import (
	"path/filepath"
	"testing"

	"faultline/clusters"
)

// A process that comes later has to know whose namespaces are to go.
func TestATrailTellsItsRun(t *testing.T) {
	found, err := discoverIn(t, cluster{masters: 1, workers: 1}, "https://10.0.0.1:6443", "")
	if err != nil {
		t.Fatal(err)
	}
	found.Cluster.Run = "r1"
	trail, err := found.Trail("kubeconfig", "")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "trail.json")
	if err := trail.Save(path); err != nil {
		t.Fatal(err)
	}
	again, err := LoadTrail(path)
	if err != nil || again.Run != "r1" || again.Context != "staging" || len(again.Kubelets) != 2 {
		t.Errorf("got %+v, %v", again, err)
	}
}

// What a manifest shows is what is created, for the run that removes it.
func TestNamespaceOfPodsNamesTheRun(t *testing.T) {
	if got := namespaceObject("r1").Labels[clusters.RunLabel]; got != "r1" {
		t.Errorf("the namespace is of run %q", got)
	}
}
