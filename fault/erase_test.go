package fault

import (
	"testing"

	"faultline/clusters"
)

// What shows that somebody has set a node up again has to be what erasing takes away.
func TestWhichNodesCanBeErased(t *testing.T) {
	for name, c := range map[string]struct {
		node  clusters.Node
		setUp string // empty: refused
		ends  int
	}{
		"a worker":                         {clusters.Node{Role: clusters.Worker, Components: []clusters.Component{}}, "/etc/kubernetes/kubelet.conf", 2},
		"a master":                         {clusters.Node{Role: clusters.ControlPlane}, "/etc/kubernetes/manifests", 4},
		"a master whose etcd is elsewhere": {clusters.Node{Role: clusters.ControlPlane, Components: []clusters.Component{clusters.APIServer}}, "", 0},
		"a load balancer":                  {clusters.Node{Role: clusters.Balancer, Components: []clusters.Component{clusters.HAProxy}}, "", 0},
	} {
		all, setUp, err := erasable(&c.node)
		if len(all) != c.ends || setUp != c.setUp || (err == nil) != (c.setUp != "") {
			t.Errorf("%s: %v end, %q, %v", name, all, setUp, err)
		}
	}
}
