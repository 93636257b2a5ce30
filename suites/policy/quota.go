package policy

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: namespaces with quotas for CPU and memory divide the workers into virtual
// clusters (A:L74-75).
var _ = Describe("A namespace with a quota", Topology(topology), Nightly, Component(clusters.APIServer), func() {
	It("gets as many pods as its quota allows, however many API servers are asked, and takes none from its neighbour", Claims("CONF-06"), func(ctx SpecContext) {
		QuotasDivide(ctx, On(ctx, topology))
	})
})

// QuotasDivide is the experiment of CONF-06; sabotage runs use it too.
func QuotasDivide(ctx context.Context, d *Drill) {
	GinkgoHelper()
	makeNamespace(d, divided, nil)
	makeNamespace(d, neighbour, nil)
	s := shareOf(ctx, d)
	Expect(d.Attempt("give one of two namespaces a quota and a limit range", divide(s))).To(BeAccepted())
	fill(ctx, d, s, few, d.APIServers())

	lost, others := bystander(d)
	d.Inject(fault.Stop(lost))
	d.AskThrough(others[0])
	full := newRights(asAdministrator(d), ofNamespaces(s, false)...)
	Expect(d.StaysTrue("the others let nobody exceed the quota while one is down", full.exactly(others...))).To(Succeed())
	Expect(d.Attempt("double the quota", setQuota(s, 2*few))).To(BeAccepted())
	fill(ctx, d, s, 2*few, others)

	d.Undo()
	Expect(d).To(Resume(probe.Ready).On(lost.Node).Within(d.Timing.StaticPodReturn()))
	Expect(d.BecomesTrue("nor does that one when it is back", d.Timing.StaticPodReturn(), full.exactly(lost.Node.APIServer()))).To(Succeed())
	Expect(full.told(d)).To(Succeed())
	d.AskThrough(d.Front())
	overrun(ctx, d, s)
	endNamespaces(d, divided, neighbour)
}

// fill sends a storm of pods through API servers at the namespace with the quota, which has
// room for few of them. The workers have room for the neighbour's, too.
func fill(ctx context.Context, d *Drill, s share, quota int, servers []clusters.Endpoint) {
	GinkgoHelper()
	admin := asAdministrator(d)
	Expect(d.BecomesTrue("the API servers know the quota", d.Timing.Binding(), newRights(admin, ofNamespaces(s, true)...).known(servers...))).To(Succeed())
	seen := stormThrough(ctx, d, divided, s, servers)
	Expect(d.Saw(fmt.Sprintf("of a storm of pods %d are accepted, and all others exceed the quota", few), seen.String(), seen.keeps(few))).To(Succeed())
	Expect(d.BecomesTrue(fmt.Sprintf("the namespace has %d pods", quota), d.Timing.Noticed(), podsExist(divided, quota))).To(Succeed())
	Expect(d.BecomesTrue("the API servers know that there is no room", d.Timing.Noticed(), newRights(admin, ofNamespaces(s, false)...).known(servers...))).To(Succeed())

	for _, e := range servers {
		d.AskThrough(e)
		Expect(d.Attempt("create a pod in the other namespace", createIn(neighbour, s))).To(BeAccepted())
	}
	Expect(d.BecomesTrue("all pods of both namespaces are placed", d.Timing.Binding(), All(allPlaced(divided), allPlaced(neighbour)))).To(Succeed())
}

// overrun is the control: a storm that no quota limits leaves no room.
func overrun(ctx context.Context, d *Drill, s share) {
	GinkgoHelper()
	seen := stormThrough(ctx, d, neighbour, s, d.APIServers())
	Expect(d.Saw("where there is no quota the whole storm is accepted", seen.String(), Unless(seen.accepted == gusts*len(d.APIServers()), nil))).To(Succeed())
	Expect(d.BecomesTrue("it leaves too little of the workers for a pod", d.Timing.Binding(), somePodLacksCPU(neighbour))).To(Succeed())
}
