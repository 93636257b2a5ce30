// Package sabotage shows that the suite's assertions can turn red: it runs a real
// experiment with its fault, its undo or its probes made to lie, and expects
// the experiment to fail. A sabotaged drill leaves no record.
package sabotage

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	"faultline/suites/balancers"
	"faultline/suites/components"
	. "faultline/suites/drill"
	"faultline/suites/hosts"
	"faultline/suites/labels"
	"faultline/suites/leadership"
	"faultline/suites/overload"
	"faultline/suites/policy"
	"faultline/suites/quorum"
	"faultline/suites/recovery"
	"faultline/suites/workers"
)

var _ = Describe("An experiment turns red", Topology("single-host-minimal"), Smoke, Sabotage, func() {
	DescribeTable("when it is sabotaged:", func(ctx SpecContext, sabotage Option, complaint string) {
		d := On(ctx, "single-host-minimal", sabotage)
		failure := InterceptGomegaFailure(func() { components.RefuseWritesWithoutAMajority(d) })
		Expect(failure).To(MatchError(ContainSubstring(complaint)))
	},
		Entry("the fault does nothing", Option(WithoutFault), "the fault did not land"),
		Entry("the undo does nothing", Option(WithoutUndo), "it had not resumed"),
		Entry("the probes always report success", Option(WithLyingProbes), "it still succeeded"),
	)
})

var _ = Describe("An experiment proves nothing", Topology("bare-etcd-3"), Nightly, Sabotage, func() {
	It("when its fault has ended by itself", func(ctx SpecContext) {
		const ttl = 10 * time.Second
		d := On(ctx, "bare-etcd-3", WithTTL(ttl))
		failure := InterceptGomegaFailure(func() {
			d.Inject(fault.HoldDown(d.Leader(clusters.Etcd)))
			d.Hold(ttl)
			d.Undo()
		})
		Expect(failure).To(MatchError(ContainSubstring("inconclusive: the fault did not hold")))
	})
})

// mutates labels a spec with the groups of claims whose experiments it turns red.
func mutates(groups ...string) Labels {
	var all Labels
	for _, g := range groups {
		all = append(all, labels.Mutation+g)
	}
	return all
}

// The system itself is changed so that a claim is not true any more. Every group of claims
// has a mutation here, which a test holds.
var _ = Describe("An experiment notices that", Nightly, Sabotage, func() {
	DescribeTable("the system is another:",
		func(ctx SpecContext, topology string, mutation Mutation, experiment func(context.Context, *Drill), complaint string) {
			d := On(ctx, topology, WithMutation(mutation))
			failure := InterceptGomegaFailure(func() { experiment(ctx, d) })
			Expect(failure).To(MatchError(ContainSubstring(complaint)))
		},
		mutant("two members of etcd reach nobody but their leader", "bare-etcd-3", cut(followers),
			plain(quorum.AbsorbTheCrashOfTheLeader), "it had not resumed", "ETCD"),
		mutant("a scheduler gives up sooner without the API server", single, withFlag(clusters.Scheduler, "--leader-elect-renew-deadline=4s"),
			plain(components.EverythingDependsOnTheAPIServer), "kube-scheduler gives up", "API"),
		mutant("there is another scheduler", single, withAnother(clusters.Scheduler),
			plain(components.NothingIsPlaced), "it still succeeded", "SCHED"),
		mutant("there is another controller manager", single, withAnother(clusters.ControllerManager),
			plain(components.NothingIsCarriedOut), "it still succeeded", "KCM"),
		mutant("a node waits for a cloud", single, awaitedCloud, components.WorksWithoutACloud, "waits for a cloud", "CCM"),
		mutant("DNS servers know a name by themselves", single, knowingDNS,
			plain(components.NobodyRemembersAName), "stays lost", "DNS"),
		mutant("one of two load balancers leads nowhere", "multi-master-two-lbs", cut(idleBalancer),
			plain(balancers.NoBalancerIsMissed), "it had not resumed", "LB"),
		mutant("nobody looks after nodes", "multi-master", withFlag(clusters.ControllerManager, "--controllers=*,-node-lifecycle-controller"),
			plain(workers.AWorkerIsReplaced), "lost true, ready true", "NODE"),
		mutant("nobody evicts pods", "multi-master", withFlag(clusters.ControllerManager, "--controllers=*,-taint-eviction-controller"),
			workers.ALoneReplicaIsMissed, "the lone replica runs elsewhere", "WORK"),
		mutant("secrets are encrypted before they are stored", "single-master", encryptedSecrets,
			recovery.SecretsAreOnTheDisk, "whoever has the disk can read it", "SEC"),
		mutant("a second scheduler has read a certificate that is good", "single-master", withAnother(clusters.Scheduler),
			plain(policy.TheSchedulerIsCutOff), "it still succeeded", "SEC"),
		mutant("every account may do anything", "multi-master", everybodyRules,
			policy.AccessIsDecidedAlike, "is allowed, which nobody has granted", "SEC"),
		mutant("nobody looks after quotas", "multi-master", withFlag(clusters.APIServer, "--disable-admission-plugins=ResourceQuota"),
			policy.QuotasDivide, "larger than the quota is allowed, which nobody has granted", "CONF"),
		mutant("a kubelet sets no quotas of CPU time", single, withoutQuotas, overload.AHogIsContained, "with a limit of CPU time it is throttled", "CONF"),
		mutant("no client's requests are limited", single, nobodyIsThrottled, overload.AFloodIsThrottled, "is told to come back later", "CONF"),
		mutant("a kubelet carries out no change", "three-host-stacked", silent(1, clusters.ControlPlane),
			plain(hosts.ChangesRoll), "did not land", "OPS"),
		mutant("schedulers act without election", "three-host-stacked", withFlag(clusters.Scheduler, "--leader-elect=false"),
			plain(leadership.OneOfEachActs), "only the leading kube-scheduler acts", "LEAD", "SPLIT"),
		mutant("a worker does not connect again", "single-master", silent(1, clusters.Worker),
			recovery.RestoreTheMaster, "every node has connected again", "DR"),
		mutant("the hosts of two followers do not reach each other", "three-host-stacked", cut(followers),
			func(_ context.Context, d *Drill) { hosts.SurviveTheLossOf(d, d.Leader(clusters.Etcd).Node.Host) }, "it had not resumed", "TOPO"),
	)
})

const single = "single-host-minimal"

func mutant(what, topology string, m Mutation, experiment func(context.Context, *Drill), complaint string, groups ...string) TableEntry {
	return Entry(what, Topology(topology), mutates(groups...), topology, m, experiment, complaint)
}

// plain is an experiment that needs no context of its own.
func plain(experiment func(*Drill)) func(context.Context, *Drill) {
	return func(_ context.Context, d *Drill) { experiment(d) }
}
