package policy

import (
	"context"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: everything goes through the API, so that access has to be limited, and RBAC has
// to decide (A:L78, A:L85).
var _ = Describe("Who may do what", Topology(topology), Nightly, func() {
	It("is decided alike by every API server, also without one of them, and by that one as soon as it is back", Claims("SEC-03"), Component(clusters.APIServer), func(ctx SpecContext) {
		AccessIsDecidedAlike(ctx, On(ctx, topology))
	})

	It("is decided from memory without a majority of etcd, and never for the worse", Claims("SEC-03"), Component(clusters.Etcd), func(ctx SpecContext) {
		d := On(ctx, topology)
		r := newRights(accounts(ctx, d), table(access)...)
		servers := d.APIServers()
		Expect(d.BecomesTrue("through every API server exactly what is granted is allowed", d.Timing.Binding(), r.exactly(servers...))).To(Succeed())
		d.Inject(fault.Pause(d.EtcdMembers().Majority()...).Losing(clusters.Etcd))

		Expect(d).To(Lose(probe.ConsistentRead).Within(d.Timing.Noticed()))
		Expect(d.StaysTrueFor("nothing is allowed that is not granted, whether reads from memory last or not", d.Timing.StaleReads().Lower, r.closed(servers...))).To(Succeed())
		Expect(d.BecomesTrue("every API server still refuses it", d.Timing.Noticed(), r.refusals(servers...))).To(Succeed())
		Expect(r.told(d)).To(Succeed())

		d.Undo()
		Expect(d).To(Resume(probe.Write).Within(d.Timing.QuorumReturn()))
		Expect(d.BecomesTrue("through every API server exactly what is granted is allowed", d.Timing.QuorumReturn(), r.exactly(servers...))).To(Succeed())
	})

	It("is never decided in anybody's favour by API servers that have just started", Claims("SEC-03"), Component(clusters.APIServer), func(ctx SpecContext) {
		d := On(ctx, topology)
		r := newRights(accounts(ctx, d), slices.Concat(table(health), table(access))...)
		servers := d.APIServers()
		Expect(d.BecomesTrue("through every API server exactly what is granted is allowed", d.Timing.Binding(), r.exactly(servers...))).To(Succeed())
		d.Inject(fault.Kill(d.Instances(clusters.APIServer)...).Losing(clusters.APIServer))

		// Until it has read its roles, a server may refuse what is granted.
		Expect(d.BecomesTrue("through every API server exactly that is allowed again", d.Timing.CrashLoopReturn(d.Outage()), r.exactly(servers...))).To(Succeed())
		Expect(r.told(d)).To(Succeed())
		Expect(d).To(Pause(probe.Write).Within(clusters.Bounds{Upper: d.Timing.CrashLoopReturn(d.Outage()).Upper + d.Timing.LoadBalancer().Upper}))
	})
})

// AccessIsDecidedAlike is the first experiment of SEC-03; sabotage runs use it too.
func AccessIsDecidedAlike(ctx context.Context, d *Drill) {
	GinkgoHelper()
	theyAreKept(d, newRights(accounts(ctx, d), slices.Concat(table(health), table(access))...))
}

// row is a demand, and to whom it is granted.
type row struct {
	demand demand
	to     []string
}

var (
	nobody        []string
	authenticated = []string{stranger, reader}
	everybody     = []string{anonymous, stranger, reader}
)

// health is what API servers answer by asking their store.
var health = []row{
	{read("be told whether the server lives", "/livez"), everybody},
	{read("be told whether it is ready", "/readyz"), everybody},
	{read("be told whether it is healthy", "/healthz"), everybody},
}

// access is what they decide, and mostly answer, from what they remember.
var access = []row{
	{read("be told the version", "/version"), everybody},
	{read("list what the API has", "/apis"), authenticated},
	{read("read the metrics", "/metrics"), nobody},
	// kubeadm lets whoever is nobody yet read how to join.
	{read("read cluster-info", "/api/v1/namespaces/kube-public/configmaps/cluster-info"+cached), []string{anonymous}},
	{read("read the configmap", configMaps+"/"+readable+cached), []string{reader}},
	{read("list the namespace's configmaps", configMaps+cached), []string{reader}},
	{read("list another namespace's configmaps", "/api/v1/namespaces/kube-system/configmaps"+cached), nobody},
	{read("list the namespace's secrets", core+"/secrets"+cached), nobody},
	{read("list the nodes", "/api/v1/nodes"+cached), nobody},
	{create("create a configmap", configMaps, configMap("attempt-written")), nobody},
	{remove("delete the configmap", configMaps+"/"+readable), nobody},
	{create("grant itself everything", roleBindings, bindingOf(stranger, "ClusterRole", "cluster-admin")), nobody},
}

const (
	core         = "/api/v1/namespaces/" + Namespace
	configMaps   = core + "/configmaps"
	roleBindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/" + Namespace + "/rolebindings"
)

// table is the rights of everybody.
func table(rows []row) []right {
	var list []right
	for _, r := range rows {
		for _, who := range everybody {
			list = append(list, right{who: who, demand: r.demand, granted: slices.Contains(r.to, who)})
		}
	}
	return list
}
