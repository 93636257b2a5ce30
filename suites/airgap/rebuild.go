package airgap

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
	"faultline/suites/recovery"
)

// Document A: with local copies of the system, of Kubernetes and of images one recovers without
// the Internet (A:L97).
var _ = Describe("A cluster without a way out", Topology(topology), Nightly, WholeHost, func() {
	It("has a lost worker replaced from what the machine has, all but the application that it has no image of", Claims("DR-10"), func(ctx SpecContext) {
		rebuildAWorker(ctx, On(ctx, topology))
	})

	It("has its lost master restored from a backup", Claims("DR-10"), func(ctx SpecContext) {
		d := On(ctx, topology)
		before := egressOf(ctx, d)
		recovery.RestoreTheMaster(ctx, d)
		nothingLeft(ctx, d, before)
	})
})

// rebuildAWorker is the first experiment of DR-10.
func rebuildAWorker(ctx context.Context, d *Drill) {
	GinkgoHelper()
	worker, image := Workers(d.Nodes)[0], fromRegistry(ctx, d)
	before := egressOf(ctx, d)
	d.Inject(fault.Erase(worker).WithTTL(3 * d.Timing.RestoredInAll().Upper))
	Expect(d).To(Lose(probe.Workload).On(worker).Within(d.Timing.Noticed()))
	Expect(d).To(MarkNotReady(worker).Within(d.Timing.NodeNotReady()))
	d.BeginRepair()
	_, err := worker.Exec(ctx, "crictl", "rmi", image)
	Expect(d.Told("the machine has the images that it was delivered with, and none from the registry", err)).To(Succeed())
	stopped := time.Now()
	d.Then(fault.StopService(d.Instances(clusters.RegistryServer)...).Losing(clusters.RegistryServer))

	By("rebuilding it")
	began := time.Now()
	Expect(d.Attempt("forget the lost worker", DeleteNode(worker.Name))).To(BeAccepted())
	_, err = worker.Exec(ctx, "kubeadm", "join", "--config="+clusters.KubeadmConfig)
	Expect(d.Told("the machine joins", err)).To(Succeed())
	Expect(d.BecomesTrue("it is a node that is ready", d.Timing.NodeReturn(), NodeJoined(worker.Name))).To(Succeed())
	Expect(d.TookToRecover("it is replaced", time.Since(began), d.Timing.NodeReturn())).To(Succeed())
	Expect(d.StartPod(podOf(worker, preloaded, "", corev1.PullIfNotPresent))).To(Succeed())
	Expect(d.BecomesTrue("the application waits for its image", d.Timing.ImageRefused(), waitsForImage(clusters.AirGapNamespace, ofApplication))).To(Succeed())
	Expect(d.StaysTrue("it does not run", PodsReady(clusters.AirGapNamespace, ofApplication, 0))).To(Succeed())
	Expect(d).To(KeepServing(probe.Write))

	outage := time.Since(stopped)
	d.UndoLast()
	Expect(d.BecomesTrue("it runs when the registry is back", d.Timing.ImageRetried(outage), PodsReady(clusters.AirGapNamespace, ofApplication, 1))).To(Succeed())
	recovery.Conforms(d)
	nothingLeft(ctx, d, before)
	d.Undo() // closes the fault: there is nothing to put back any more
	Expect(d).To(Resume(probe.Workload).On(worker).Within(d.Timing.NodeReturn()))
	d.AwaitHealed()
}
