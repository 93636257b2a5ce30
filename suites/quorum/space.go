package quorum

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

var _ = Describe("One member of etcd that is out of space", Core, Topology(bare(3)), Component(clusters.Etcd), func() {
	It("stops the writes through every member, and no read", Claims("ETCD-24"), func(ctx SpecContext) {
		d := On(ctx, bare(3))
		d.Inject(fault.RaiseNoSpace(d.EtcdMembers()[0]).Losing(clusters.Etcd))

		Expect(d).To(Lose(probe.Put).Within(d.Timing.Noticed()))
		Expect(d).To(KeepServing(probe.LinearizableRead))
		Expect(d).To(KeepServing(probe.SerializableRead))
		for _, m := range d.EtcdMembers() {
			Expect(d.Health(m, "livez")).To(Equal(200), "%s calls itself alive", m)
		}

		d.Undo()
		Expect(d).To(Resume(probe.Put).Within(d.Timing.QuorumReturn()))
	})
})
