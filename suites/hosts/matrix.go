package hosts

import (
	"fmt"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// column is a layout of the availability matrix, with the claims that its cells test.
type column struct {
	topology clusters.Topology
	// one and two are the claims about the loss of one host and of two.
	one, two []string
}

// columns are document A's options for one, two and three hosts, and the layouts beside
// them whose hosts matter (A:L50 to A:L69, A:L22, A:L54, B:L20).
func columns() []column {
	return []column{
		{topology: clusters.SingleHostMinimal(), one: []string{"TOPO-01"}},
		{topology: clusters.SingleHostMirroredDisk(), one: []string{"TOPO-04"}},
		{topology: clusters.SingleHostStaticPods(), one: []string{"TOPO-06"}},
		{topology: clusters.SingleHostVMs(), one: []string{"TOPO-10"}},
		{topology: clusters.TwoHostMinimal(), one: []string{"TOPO-11", "TOPO-12"}},
		{topology: clusters.TwoHostSpread(), one: []string{"TOPO-12"}},
		{topology: clusters.TwoHostDual(), one: []string{"TOPO-12"}},
		{topology: clusters.TwoHostMirroredDisk(), one: []string{"TOPO-04"}},
		{topology: clusters.TwoHostSplitMasters(), one: []string{"TOPO-14", "TOPO-15"}},
		{topology: clusters.TwoHostVMs(), one: []string{"TOPO-15"}},
		{topology: clusters.EtcdTwoPlusOne(), one: []string{"ETCD-17"}},
		{topology: clusters.EvenEtcd(), one: []string{"ETCD-01"}},
		{topology: clusters.ThreeHostStacked(), one: []string{"TOPO-18"}, two: []string{"TOPO-19"}},
		{topology: clusters.ThreeHostVMs(), one: []string{"TOPO-18"}, two: []string{"TOPO-19"}},
		{topology: clusters.MultiMaster(2), one: []string{"TOPO-18"}, two: []string{"TOPO-19"}},
		{topology: clusters.ExternalEtcd(), one: []string{"ETCD-23"}, two: []string{"ETCD-23"}},
	}
}

// Every host and every pair of hosts of every layout is lost once. What that costs is told
// beforehand by counting majorities and placements (clusters.Topology.Predict); an
// experiment that disagrees is a finding.
func init() {
	for _, c := range columns() {
		Describe("The loss of", Topology(c.topology.Name), Nightly, Label("matrix"), WholeHost, c.cells)
	}
}

// cells are the losses of a layout, a spec each.
func (c column) cells() {
	for _, lost := range losses(c.topology) {
		claims := c.one
		if len(lost) > 1 {
			claims = c.two
		}
		It(cellName(c.topology, lost), Claims(claims...), func(ctx SpecContext) {
			loseHosts(On(ctx, c.topology.Name), lost, claims)
		})
	}
}

// losses are every host of a layout, and every pair of them where a third is left.
func losses(t clusters.Topology) [][]string {
	var all [][]string
	for n, h := range t.Hosts {
		if onlyBalancers(h) && len(t.Hosts) == 2 {
			continue // what stands beside the only host is no host of the document's
		}
		all = append(all, []string{h.Name})
		if len(t.Hosts) > 2 {
			for _, other := range t.Hosts[n+1:] {
				all = append(all, []string{h.Name, other.Name})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b []string) int { return len(a) - len(b) })
	return all
}

func onlyBalancers(h clusters.Host) bool {
	return !slices.ContainsFunc(h.Members, func(m clusters.Member) bool { return m.Role != clusters.Balancer })
}

// cellName is a cell of the matrix as a sentence.
func cellName(t clusters.Topology, lost []string) string {
	outcome := "ends the control plane"
	switch o := t.Predict(clusters.Loss{Hosts: lost}); {
	case o.Controlled:
		outcome = "is survived"
	case o.Writable:
		outcome = "leaves an API whose changes nobody carries out"
	}
	return fmt.Sprintf("%s of %s %s", strings.Join(lost, " and "), t.Name, outcome)
}

// loseHosts is one cell: the loss, whether it costs what the model says, and the return. Its claims
// may demand more.
func loseHosts(d *Drill, hosts, claims []string) {
	GinkgoHelper()
	want, term := d.Topology.Predict(clusters.Loss{Hosts: hosts}), d.EtcdTerm()
	var lost []*clusters.Node
	for _, h := range hosts {
		d.Inject(fault.PowerOff(d.Host(h)...).Losing(clusters.Components...))
		lost = append(lost, d.Host(h)...)
	}

	if want.Writable {
		Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(d.Timing.HostLoss()))
	} else {
		for _, name := range []probe.Name{probe.Write, probe.ConsistentRead} {
			Expect(d).To(Lose(name).Through(d.Front()).Within(d.Timing.Noticed()))
		}
	}
	for _, name := range []probe.Name{probe.Schedule, probe.Reconcile} {
		if want.Controlled {
			Expect(d).To(Pause(name).Within(d.Timing.HostLossFailover()))
		} else {
			Expect(d).To(Lose(name).Within(d.Timing.Noticed()))
		}
	}
	if left := without(d.WorkloadNodes(), lost); len(left) > 0 {
		Expect(d).To(KeepServing(probe.Workload).On(left...))
	}
	if longest := held(d.Timing, claims, want); longest > 0 {
		d.Hold(longest)
	}
	if slices.Contains(claims, "TOPO-14") && len(d.EtcdMembers().OnHost(hosts[0])) == 0 {
		Expect(d.Told("etcd elects nobody", Unless(d.EtcdTerm() == term, nil))).To(Succeed())
	}

	if oneSuffices(d.Topology, hosts) {
		d.UndoLast()
		for _, name := range []probe.Name{probe.Write, probe.Schedule, probe.Reconcile} {
			Expect(d).To(Resume(name).Within(d.Timing.MastersReturn()))
		}
	}
	d.Undo()
	for _, name := range []probe.Name{probe.Write, probe.Schedule, probe.Reconcile, probe.Workload} {
		Expect(d).To(Resume(name).Within(d.Timing.MastersReturn()))
	}
}

// held is how long a loss lasts so that what a claim denies would have shown: that pods which no
// control plane looks after are evicted, or that somebody else takes over.
func held(t clusters.Timing, claims []string, want clusters.Outcome) (longest time.Duration) {
	if slices.Contains(claims, "TOPO-11") && !want.Writable {
		longest = t.LongerThanEviction()
	}
	if slices.Contains(claims, "TOPO-12") && !want.Controlled {
		longest = max(longest, t.LeaseTakeover().Upper)
	}
	return longest
}

// oneSuffices tells whether the last of several lost hosts gives the control plane back when it is back.
func oneSuffices(t clusters.Topology, lost []string) bool {
	rest := lost[:len(lost)-1]
	return len(rest) > 0 && !t.Predict(clusters.Loss{Hosts: lost}).Controlled && t.Predict(clusters.Loss{Hosts: rest}).Controlled
}

func without(nodes, lost []*clusters.Node) []*clusters.Node {
	return slices.DeleteFunc(slices.Clone(nodes), func(n *clusters.Node) bool { return slices.Contains(lost, n) })
}
