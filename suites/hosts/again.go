package hosts

import (
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: what installs and configures clusters is a tool, so that it can be done again with
// the same result (A:L8, A:L115-122).
var _ = Describe("A layout that is built twice from its declaration", Nightly, func() {
	DescribeTable("comes out the same:", Claims("OPS-01"),
		func(ctx SpecContext, topology string) {
			d := On(ctx, topology)
			first, built := d.Name, d.Facts()
			d.BuildAgain()
			Expect(d.Name).NotTo(Equal(first))
			again := d.Facts()
			Expect(d.Saw("nodes, static pods, flags, members of etcd and certificates are those of before",
				fmt.Sprintf("%d facts", len(again)), OnlyChanged(built, again))).To(Succeed())

			// The control experiment: somebody has done something by hand.
			scheduler := d.Instances(clusters.Scheduler)[0]
			d.Inject(fault.SetFlag(byHand, scheduler).Losing(clusters.Scheduler))
			Expect(d.Told("one flag that was added by hand is noticed, and nothing else",
				OnlyChanged(built, d.Facts(), "kube-scheduler has "+byHand))).To(Succeed())
			d.Undo()
			Expect(d).To(Resume(probe.Schedule).Within(d.Timing.ControlPlaneReturn(d.Outage())))
			d.AwaitHealed()
			Expect(d.Told("without the flag it is the same again", OnlyChanged(built, d.Facts()))).To(Succeed())
		},
		Entry("one of everything on one host", Topology("single-host-minimal"), "single-host-minimal"),
		Entry("masters and workers on three hosts", Topology("three-host-stacked"), "three-host-stacked"),
		Entry("masters with etcd on hosts of its own", Topology("external-etcd"), "external-etcd"),
	)
})

// byHand is a flag that changes nothing that anybody could see from outside.
const byHand = "--v=1"
