package recovery

import (
	"strings"
	"testing"

	"faultline/clusters"
)

func TestWithoutEndpoints(t *testing.T) {
	entry := func(name string) string {
		return "      - endpoint:\n          address:\n            socket_address:\n              address: " + name + "\n              port_value: 6443\n"
	}
	list := "    - lb_endpoints:\n" + entry("c-control-plane") + entry("c-control-plane2") + entry("c-control-plane3")
	left, err := withoutEndpoints(list, []*clusters.Node{{Name: "c-control-plane"}, {Name: "c-control-plane3"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := "    - lb_endpoints:\n" + entry("c-control-plane2"); strings.TrimRight(left, " ") != want {
		t.Errorf("left is %q, want %q", left, want)
	}
	all := []*clusters.Node{{Name: "c-control-plane"}, {Name: "c-control-plane2"}, {Name: "c-control-plane3"}}
	if left, err := withoutEndpoints(list, all); err != nil || strings.TrimRight(left, " ") != "    - lb_endpoints:\n" {
		t.Errorf("without any of them %q is left: %v", left, err)
	}
	if _, err := withoutEndpoints(list, []*clusters.Node{{Name: "c-control"}}); err == nil {
		t.Error("a node that is not in the list was taken out")
	}
}
