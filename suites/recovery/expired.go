package recovery

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: each component has a certificate (A:L76). Those of a master are of one day, and
// expire together a year later.
var _ = Describe("A master whose certificates have expired", Topology("single-master"), Nightly, Runbook, Component(clusters.APIServer), func() {
	It("is a master again when they are renewed, and nobody joins again", Claims("SEC-01"), func(ctx SpecContext) {
		d := On(ctx, "single-master")
		master := d.With(clusters.ControlPlane)[0]
		reaches(d)
		Expect(d.Told("the runbook renews nothing before its time", refusesToRenew(ctx, master))).To(Succeed())
		expireAll(d, master)

		Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
		Expect(d).To(Lose(probe.CachedRead).Within(d.Timing.Noticed()))
		Expect(d).To(KeepServing(probe.Workload))
		d.BeginRepair()
		began := time.Now()
		said, err := run(ctx, master, renewScript)
		Expect(d.Told("the runbook renews them", err)).To(Succeed(), said)
		Expect(d.Took("the API is ready again", time.Since(began), d.Timing.Restored())).To(Succeed())
		for _, name := range []probe.Name{probe.Write, probe.Schedule, probe.Reconcile} {
			Expect(d).To(Pause(name).Within(d.Timing.RestoredInAll()))
		}

		d.Undo() // closes the faults: newer certificates are not overwritten
		nobodyJoinsAgain(ctx, d, began)
		d.AwaitHealed()
		recovered(d)
	})
})

// expireAll lets every certificate of a master expire. Who shows them to somebody comes first, so that
// there is still somebody to refuse them.
func expireAll(d *Drill, master *clusters.Node) {
	GinkgoHelper()
	server, etcd, kubelet := d.Instances(clusters.APIServer)[0], d.EtcdMembers()[0], master.Instances(clusters.Kubelet)[0]
	for _, shown := range []struct {
		use fault.Use
		by  clusters.Instances
	}{
		{fault.KubeletClientCertificate, clusters.Instances{server}},
		{fault.ClientCertificate, clusters.Instances{d.Instances(clusters.Scheduler)[0], d.Instances(clusters.ControllerManager)[0]}},
		{fault.ClientCertificate, clusters.Instances{kubelet}},
		{fault.ClientCertificate, clusters.Instances{server}},
		{fault.ServingCertificate, clusters.Instances{server, etcd}},
	} {
		d.Then(fault.ExpireCertificate(d.Cluster, shown.use, shown.by...).Losing(clusters.Components...))
	}
}

// refusesToRenew fails unless the runbook refuses, because nothing is about to expire.
func refusesToRenew(ctx context.Context, n *clusters.Node) error {
	said, err := run(ctx, n, renewScript)
	return refused(said, err, "every certificate is good")
}
