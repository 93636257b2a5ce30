// Package storage holds the specs of what the documents say about etcd's disks (A:L46, A:L50,
// A:L51, A:L60), and about where databases keep their data (A:L112 to A:L114).
package storage

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

var _ = Describe("The only copy of etcd's storage", Nightly, Component(clusters.Etcd), func() {
	DescribeTable("takes everything with it that Kubernetes knows", Claims("TOPO-02"),
		func(ctx SpecContext, topology string) {
			d := On(ctx, topology)
			etcd := d.EtcdMembers()[0]
			d.Inject(fault.WipeData(etcd).Losing(clusters.Etcd))
			d.Then(fault.Reboot(etcd.Node).Losing(clusters.Components...))

			// etcd starts an empty store without a word, and the API serves that.
			Expect(d.BecomesTrue("the API answers, and knows nothing of what was created", d.Timing.NodeReturn(), isForgotten(etcd.Node))).To(Succeed())
			// Kubelets end what the API does not know of, on healthy hosts too.
			Expect(d).To(Lose(probe.Workload).Within(d.Timing.Forgotten()))
			Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
			Expect(d.StaysTrueFor("nobody brings it back", d.Timing.LongerThanLiveness(), isForgotten(etcd.Node))).To(Succeed())

			// The undo is a restore without new revisions, see DR-11.
			d.Undo()
			d.EndsHere()
			Expect(d).To(Resume(probe.Write).Within(d.Timing.ControlPlaneReturn(d.Outage())))
			d.Drifted("a lone etcd with an empty disk starts an empty store: the cluster is not down but up and empty, and its kubelets end every workload")
		},
		Entry("on a single host", Topology("single-host-minimal"), "single-host-minimal"),
		Entry("on two hosts", Topology("two-host-minimal"), "two-host-minimal"),
	)
})

// isForgotten fails unless the API says that there is no such namespace as the drills'. It asks as
// the administrator who needs no role: to the other one an API server says no also before it has
// read the roles of a store with everything in it.
func isForgotten(master *clusters.Node) Request {
	return func(ctx context.Context, _ kubernetes.Interface) error {
		found, err := master.Exec(ctx, "kubectl", "--kubeconfig=/etc/kubernetes/super-admin.conf", "get", "namespace", Namespace,
			"--ignore-not-found", "--output=name")
		if err != nil {
			return err
		}
		return Unless(len(found) == 0, fmt.Errorf("it has %s", found))
	}
}

var _ = Describe("A mirror under etcd", Nightly, Component(clusters.Etcd), func() {
	DescribeTable("survives the failure of either device", Claims("TOPO-03"),
		func(ctx SpecContext, topology string) {
			d := On(ctx, topology)
			etcd := d.EtcdMembers()[0]
			before, err := etcd.Process(ctx)
			Expect(err).NotTo(HaveOccurred())
			for _, device := range []int{0, 1} {
				By(fmt.Sprintf("losing device %d", device))
				d.Then(fault.FailDevice(etcd.Node, device))
				Expect(d).To(Pause(probe.Write).Within(d.Timing.EtcdElection()))
				Expect(d).To(KeepServing(probe.Workload))
				d.Undo()
				d.AwaitHealed()
			}
			Expect(d.Unreplaced("etcd's process is the same", etcd, before)).To(Succeed())
		},
		Entry("on a single host", Topology("single-host-mirrored-disk"), "single-host-mirrored-disk"),
		Entry("on two hosts", Topology("two-host-mirrored-disk"), "two-host-mirrored-disk"),
	)
})

// Document A: members in virtual machines of one host should have disks of their own, or
// parts of a mirror (A:L46).
var _ = Describe("Three members of etcd on one host lose", Nightly, Component(clusters.Etcd), func() {
	It("one of them with a disk of their own", Topology("three-etcd-one-host-own-disks"), Claims("ETCD-14"), func(ctx SpecContext) {
		d := On(ctx, "three-etcd-one-host-own-disks")
		lost := d.Leader(clusters.Etcd)
		d.Inject(fault.FailDevice(lost.Node, 0))
		Expect(d).To(Pause(probe.Write).Within(d.Timing.EtcdElection()))
		Expect(d).To(ElectEtcdLeader().Within(d.Timing.EtcdElection()))
	})

	It("none with a device of a mirror", Topology("three-etcd-one-host-mirrored-disk"), Claims("ETCD-14"), func(ctx SpecContext) {
		d := On(ctx, "three-etcd-one-host-mirrored-disk")
		d.Inject(fault.FailDevice(d.EtcdMembers()[0].Node, 0))
		Expect(d).To(Pause(probe.Write).Within(d.Timing.EtcdElection()))
		for _, m := range d.EtcdMembers() {
			Expect(d.Health(m, "livez")).To(Equal(200), "%s lives", m)
		}
	})

	It("all with the one disk that they share", Topology("three-etcd-one-host-one-disk"), Claims("ETCD-14"), func(ctx SpecContext) {
		d := On(ctx, "three-etcd-one-host-one-disk")
		d.Inject(fault.FailDevice(d.EtcdMembers()[0].Node, 0).Losing(clusters.Etcd))
		Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
		d.Undo()
		Expect(d).To(Resume(probe.Write).Within(d.Timing.ControlPlaneReturn(d.Outage())))
	})
})
