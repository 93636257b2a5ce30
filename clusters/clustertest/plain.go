package clustertest

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"faultline/clusters"
	"faultline/clusters/kind"
)

// PlainLayout is three masters and a worker, as anybody's kind makes them.
func PlainLayout() clusters.Topology {
	t := clusters.Topology{Name: "plain", Source: "a test", LoadBalancer: clusters.OneLoadBalancer}
	for n, role := range []clusters.Role{clusters.ControlPlane, clusters.ControlPlane, clusters.ControlPlane, clusters.Worker} {
		t.Hosts = append(t.Hosts, clusters.Host{Name: fmt.Sprintf("h%d", n+1), Members: []clusters.Member{{Role: role}}})
	}
	return t
}

// NewPlain creates a cluster that is somebody else's, as far as Faultline is concerned: plain
// kind makes it, and only its kubeconfig and context are known. It is deleted when the test
// ends.
func NewPlain(t *testing.T) (kubeconfig, name string) {
	t.Helper()
	o := Options(t, PlainLayout())
	cluster := kind.ClusterName(o.Run, o.Sequence)
	t.Cleanup(func() {
		if err := kind.Delete(context.WithoutCancel(t.Context()), o.Engine, cluster, o.Dir); err != nil {
			t.Error(err)
		}
	})
	if err := kind.CreatePlain(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(o.Dir, cluster, "kubeconfig"), "kind-" + cluster
}
