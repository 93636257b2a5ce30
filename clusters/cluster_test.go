package clusters

import (
	"slices"
	"testing"
)

func TestWorkloadNodes(t *testing.T) {
	open, reserved, worker := &Node{Role: ControlPlane}, &Node{Role: ControlPlane, Reserved: true}, &Node{Role: Worker}
	for name, c := range map[string]struct{ all, want []*Node }{
		"a worker":                  {[]*Node{open, worker, reserved}, []*Node{worker}},
		"a master that is reserved": {[]*Node{reserved, open}, []*Node{open}},
		"masters that are not":      {[]*Node{open, open}, []*Node{open, open}},
	} {
		if got := (&Cluster{Nodes: c.all}).WorkloadNodes(); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
