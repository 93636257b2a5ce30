package html

import (
	"cmp"
	"slices"
)

// lossNames are what experiments take away, as the page calls it and in its order. A
// name that is not here is the kind of a fault.
var lossNames = []struct{ Name, Label, Group string }{
	{"etcd", "etcd", "Components"},
	{"kube-apiserver", "API server", "Components"},
	{"kube-scheduler", "scheduler", "Components"},
	{"kube-controller-manager", "controller manager", "Components"},
	{"cloud-controller-manager", "cloud controller manager", "Components"},
	{"coredns", "DNS", "Components"},
	{"envoy", "load balancer", "Components"},
	{"haproxy", "load balancer", "Components"},
	{"keepalived", "load balancer", "Components"},
	{"kubelet", "kubelet", "Components"},
	{"containerd", "container runtime", "Components"},
	{"kube-proxy", "kube-proxy", "Components"},
	{"workload", "workload", "Components"},
	{"registry", "image registry", "Components"},
	{"host with etcd's quorum", "host with etcd's quorum", "Hosts"},
	{"host with etcd", "host with etcd", "Hosts"},
	{"host with a master", "host with a master", "Hosts"},
	{"host of workers", "host of workers", "Hosts"},
	{"host of a load balancer", "host of a load balancer", "Hosts"},
	{"host", "host", "Hosts"},
	{"two hosts", "two hosts", "Hosts"},
	{"several hosts", "several hosts", "Hosts"},
	{"virtual machine", "virtual machine", "Hosts"},
}

const (
	otherLosses = "Other faults"
	nothingLost = "nothing is broken"
)

// lossGroup is a part of the matrix of losses (rows) and topologies (columns).
type lossGroup struct {
	Name string
	Rows []lossRow
}

type lossRow struct {
	Label string
	Cells []cell // by topology
	group string
	place int
}

// lossesOf crosses what the experiments take away with their topologies. One that takes
// away several things is in several rows, and every one is in some row.
func lossesOf(experiments []experiment, topologies []string) []lossGroup {
	found := map[string][]experiment{}
	for _, e := range experiments {
		for _, label := range lossLabels(e) {
			found[label] = append(found[label], e)
		}
	}
	var rows []lossRow
	for label, all := range found { // sorted below
		rows = append(rows, newLossRow(label, all, topologies))
	}
	slices.SortFunc(rows, func(a, b lossRow) int { return cmp.Or(a.place-b.place, cmp.Compare(a.Label, b.Label)) })
	var groups []lossGroup
	for _, r := range rows {
		if n := len(groups); n == 0 || groups[n-1].Name != r.group {
			groups = append(groups, lossGroup{Name: r.group})
		}
		last := &groups[len(groups)-1]
		last.Rows = append(last.Rows, r)
	}
	return groups
}

// lossLabels are the rows that the experiment belongs to.
func lossLabels(e experiment) []string {
	var labels []string
	for _, name := range e.Lost() {
		label := name
		for _, known := range lossNames {
			if known.Name == name {
				label = known.Label
			}
		}
		if !slices.Contains(labels, label) {
			labels = append(labels, label)
		}
	}
	if len(labels) == 0 {
		return []string{nothingLost}
	}
	return labels
}

func newLossRow(label string, experiments []experiment, topologies []string) lossRow {
	r := lossRow{Label: label, group: otherLosses, place: len(lossNames)}
	for i, known := range lossNames {
		if known.Label == label {
			r.group, r.place = known.Group, min(r.place, i)
		}
	}
	if label == nothingLost {
		r.place++
	}
	for _, t := range topologies {
		r.Cells = append(r.Cells, cellOf(on(t, experiments)))
	}
	return r
}

// on are the experiments on a topology.
func on(topology string, experiments []experiment) []experiment {
	var some []experiment
	for _, e := range experiments {
		if e.Topology == topology {
			some = append(some, e)
		}
	}
	return some
}
