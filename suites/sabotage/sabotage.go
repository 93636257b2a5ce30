// Package sabotage shows that the suite's assertions can turn red: it runs a real
// experiment with its fault, its undo or its probes made to lie, and expects
// the experiment to fail. A sabotaged drill leaves no record.
package sabotage

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/suites/components"
	. "faultline/suites/drill"
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
