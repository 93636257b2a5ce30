package recovery

import (
	"net/http"
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
		Expect(d.Told("the runbook renews nothing before its time", refusesOn(ctx, master, renewScript, "every certificate is good"))).To(Succeed())
		expireAll(d, master)

		Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
		Expect(d).To(Lose(probe.CachedRead).Within(d.Timing.Noticed()))
		Expect(d).To(KeepServing(probe.Workload))
		d.BeginRepair()
		began := time.Now()
		carryOut(d, "the runbook renews them", "the API is ready again", d.Timing.Restored(),
			func() (string, error) { return run(ctx, master, renewScript) })
		for _, name := range []probe.Name{probe.Write, probe.Schedule, probe.Reconcile} {
			Expect(d).To(Resume(name).Within(d.Timing.RestoredInAll()))
		}

		d.Undo() // closes the faults: newer certificates are not overwritten
		nobodyJoinsAgain(ctx, d, began)
		d.AwaitHealed()
		recovered(d)
	})
})

// expireAll lets the certificates of a master expire that the API server and its clients show: first
// those of the clients that give up while the API server starts anew, and the kubelet's last, without
// which nothing starts again. Those of etcd go on: without it nobody could refuse the others.
func expireAll(d *Drill, master *clusters.Node) {
	GinkgoHelper()
	server := master.Instances(clusters.APIServer)
	expire := func(use fault.Use, bearers ...clusters.Instance) {
		d.Then(fault.ExpireCertificate(d.Cluster, use, bearers...).Losing(clusters.Components...))
	}
	expire(fault.ClientCertificate, append(master.Instances(clusters.Scheduler), master.Instances(clusters.ControllerManager)...)...)
	expire(fault.KubeletClientCertificate, server...)
	Expect(d).To(Resume(probe.Write).Within(d.Timing.ControlPlaneReturn(d.Outage())))
	expire(fault.ServingCertificate, server...)
	Expect(d.BecomesTrue("the API server answers who does not look at its certificate", d.Timing.CrashLoopReturn(d.Outage()),
		answered(credulous(d.RESTConfig(d.Front())), http.StatusOK))).To(Succeed())
	expire(fault.ClientCertificate, master.Instances(clusters.Kubelet)...)
}
