package airgap

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: images come from a local registry, because the Internet is neither reliable nor
// safe (A:L79).
var _ = Describe("A cluster that has its images from a registry of its own, and no way out", Topology(topology), Nightly, Component(clusters.RegistryServer), func() {
	It("starts and restarts without the registry what its nodes have, and what they have not as soon as it is back", Claims("SEC-08"), func(ctx SpecContext) {
		useImages(ctx, On(ctx, topology))
	})
})

// What pods are for: their images are on every node, or were pulled for another pod; they have to
// be asked for at each start, are in no registry, or are outside.
const (
	preloaded = "attempt-preloaded"
	pulled    = "attempt-pulled"
	askedFor  = "attempt-asked-for"
	nowhere   = "attempt-nowhere"
	outside   = "attempt-outside"
)

// useImages is the experiment of SEC-08.
func useImages(ctx context.Context, d *Drill) {
	GinkgoHelper()
	worker, image := Workers(d.Nodes)[0], fromRegistry(ctx, d)
	before := egressOf(ctx, d)
	stopped := time.Now()
	d.Inject(fault.StopService(d.Instances(clusters.RegistryServer)...).Losing(clusters.RegistryServer))

	By("starting what the node has")
	Expect(d.StartPod(podOf(worker, preloaded, "", corev1.PullIfNotPresent))).To(Succeed())
	Expect(d.StartPod(podOf(worker, pulled, image, corev1.PullIfNotPresent))).To(Succeed())
	for _, name := range []string{preloaded, pulled} {
		d.Then(fault.Kill(d.PodOn(worker, name)))
		Expect(d.BecomesTrue(name+" is restarted", d.Timing.CrashLoopReturn(d.Outage()), restarted(name))).To(Succeed())
	}

	By("asking for what it has not")
	for _, pod := range []*corev1.Pod{
		podOf(worker, askedFor, image, corev1.PullAlways),
		podOf(worker, nowhere, clusters.RegistryName+"/attempt/nowhere:1", corev1.PullIfNotPresent),
	} {
		startsNot(d, pod)
	}
	Expect(d.StaysTrue("none of them starts", notStarted(askedFor, nowhere))).To(Succeed())
	Expect(d).To(KeepServing(probe.Workload))
	nothingLeft(ctx, d, before)

	By("asking for what is outside, which is seen")
	asked := egressOf(ctx, d)
	startsNot(d, podOf(worker, outside, clusters.Outside+"/attempt:1", corev1.PullIfNotPresent))
	sent := egressOf(ctx, d).since(asked)
	Expect(d.Saw("its node has tried to reach it, and was refused", sent.String(), Unless(sent[worker.Name].Attempts > 0, nil))).To(Succeed())

	outage := time.Since(stopped)
	d.Undo()
	Expect(d.BecomesTrue(askedFor+" runs when the registry is back", d.Timing.ImageRetried(outage), runs(askedFor))).To(Succeed())
	Expect(d.StaysTrue("the others do not", notStarted(nowhere, outside))).To(Succeed())
	d.AwaitHealed()
}

// startsNot creates a pod whose image nobody gives.
func startsNot(d *Drill, pod *corev1.Pod) {
	GinkgoHelper()
	create := func(ctx context.Context, c kubernetes.Interface) error {
		_, err := c.CoreV1().Pods(Namespace).Create(ctx, pod, metav1.CreateOptions{})
		return err
	}
	Expect(d.Attempt("create "+pod.Name, create)).To(BeAccepted())
	Expect(d.BecomesTrue(pod.Name+" waits for its image", d.Timing.ImageRefused(), waitsForImage(Namespace, named(pod.Name)))).To(Succeed())
}
