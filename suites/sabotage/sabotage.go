// Package sabotage shows that the suite's assertions can turn red: it runs a real
// experiment with its fault, its undo or its probes made to lie, and expects
// the experiment to fail. A sabotaged drill leaves no record.
package sabotage

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/suites/components"
	. "faultline/suites/drill"
	"faultline/suites/leadership"
)

var _ = Describe("An experiment turns red", Topology("single-host-minimal"), Smoke, Sabotage, SpecPriority(10), func() {
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

// The system itself is changed so that a claim is not true any more:
//
//	claims  mutation                                  experiment that turns red
//	LEAD    schedulers without leader election        LEAD-01, one of each acts
//	SPLIT   schedulers without leader election        LEAD-01, one of each acts
var _ = Describe("An experiment turns red", Topology("three-host-stacked"), Nightly, Sabotage, func() {
	It("when all schedulers act, which is what leader election prevents", func(ctx SpecContext) {
		d := On(ctx, "three-host-stacked", WithMutation)
		d.Inject(leadership.WithoutElection(d, clusters.Scheduler))
		failure := InterceptGomegaFailure(func() { leadership.OneOfEachActs(d) })
		Expect(failure).To(MatchError(ContainSubstring("only the leading kube-scheduler acts")))
	})
})
