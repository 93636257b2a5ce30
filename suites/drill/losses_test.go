package drill

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"faultline/clusters"
	"faultline/fault"
	"faultline/reports/record"
	"faultline/suites/labels"
)

// nodesOf are the nodes of a layout, named after their hosts.
func nodesOf(t clusters.Topology) []*clusters.Node {
	var nodes []*clusters.Node
	for _, h := range t.Hosts {
		for n, m := range h.Members {
			nodes = append(nodes, &clusters.Node{Name: fmt.Sprintf("%s-%d", h.Name, n), Host: h.Name, Role: m.Role})
		}
	}
	return nodes
}

func TestHostLoss(t *testing.T) {
	tests := []struct {
		topology clusters.Topology
		targets  []string
		want     string
	}{
		{clusters.ThreeHostStacked(), []string{"node h1-0", "node h1-1"}, "host with etcd"},
		{clusters.ThreeHostStacked(), []string{"node h1-0"}, "virtual machine"},
		{clusters.ThreeHostStacked(), []string{"node h1-0", "node h1-1", "node h3-0"}, "two hosts"},
		{clusters.ThreeHostStacked(), []string{"node h1-0", "node h1-1", "node h2-0", "node h2-1", "node h3-0"}, "several hosts"},
		{clusters.ThreeHostStacked(), []string{"etcd on h1-0"}, ""},
		{clusters.SingleHostMinimal(), []string{"node h1-0"}, "host with etcd's quorum"},
		{clusters.TwoHostMinimal(), []string{"node h2-0"}, "host of workers"},
		{clusters.TwoHostSpread(), []string{"node h2-0"}, "host with a master"},
		{clusters.TwoHostSplitMasters(), []string{"node h2-0"}, "host with a master"},
		{clusters.EtcdTwoPlusOne(), []string{"node h2-0", "node h2-1"}, "host with etcd"},
		{clusters.EvenEtcd(), []string{"node h2-0", "node h2-1", "node h2-2"}, "host with etcd's quorum"},
		{clusters.MultiMasterTwoLBs(), []string{"node lb1-0"}, "host of a load balancer"},
	}
	for _, test := range tests {
		if got := hostLoss(test.topology, nodesOf(test.topology), test.targets); got != test.want {
			t.Errorf("%v of %s: got %q, want %q", test.targets, test.topology.Name, got, test.want)
		}
	}
}

func TestLossesAreTheLabels(t *testing.T) {
	carried := []string{"claim:API-06", "component:kube-apiserver", "topology:multi-master", "component:host"}
	d := &Drill{experiment: record.Experiment{Loses: labels.Values(carried, labels.Component)}}
	if got, want := d.losses(), []string{"kube-apiserver", "host"}; !slices.Equal(got, want) {
		t.Errorf("before any host is lost: got %q, want %q", got, want)
	}
}

func TestFaultsInTurnMayOverlap(t *testing.T) {
	at := func(injecting, undone int) fault.Instants {
		instants := fault.Instants{Injecting: time.Unix(int64(injecting), 0)}
		if undone > 0 {
			instants.Undone = time.Unix(int64(undone), 0)
		}
		return instants
	}
	if first := at(1, 5); over(first, at(3, 9)) || over(first, at(3, 4)) || over(first, at(3, 0)) {
		t.Error("one that was injected before the first was undone comes after it")
	}
	if !over(at(1, 5), at(6, 9)) || over(at(6, 9), at(1, 5)) {
		t.Error("of two that follow each other the first is not over, or the second is")
	}
	if over(at(1, 0), at(6, 9)) {
		t.Error("one that was never undone is over")
	}
}
