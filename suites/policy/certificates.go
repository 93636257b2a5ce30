package policy

import (
	"context"
	"errors"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: a cluster has an authority, which has signed a certificate for each component
// (A:L76). On one master nobody stands in for who is cut off.
var _ = Describe("Whoever shows a certificate that has expired or is of another authority", Topology("single-master"), Nightly, func() {
	const topology = "single-master"

	It("is no scheduler any more, and everybody else is what they were", Claims("SEC-01"), Component(clusters.Scheduler), func(ctx SpecContext) {
		TheSchedulerIsCutOff(On(ctx, topology))
	})

	It("is no controller manager any more, and everybody else is what they were", Claims("SEC-01"), Component(clusters.ControllerManager), func(ctx SpecContext) {
		isCutOff(On(ctx, topology), clusters.ControllerManager, probe.Reconcile, probe.Schedule)
	})

	It("is no kubelet any more, so that its node is lost while its pods run, and no other is", Claims("SEC-01"), Component(clusters.Kubelet), func(ctx SpecContext) {
		d := On(ctx, topology)
		victim := Workers(d.Nodes)[0]
		for _, forged := range worthless(d, fault.ClientCertificate, victim.Instances(clusters.Kubelet)[0]) {
			By(forged.String())
			d.Then(forged)
			Expect(d).To(MarkNotReady(victim).Within(d.Timing.NodeNotReady()))
			for _, name := range []probe.Name{probe.Workload, probe.Write, probe.Schedule, probe.Reconcile} {
				Expect(d).To(KeepServing(name))
			}
			d.Undo()
			Expect(d.BecomesTrue("it is called ready again", d.Timing.NodeReturn(), AllNodesReady)).To(Succeed())
			d.AwaitHealed()
		}
	})

	It("asks kubelets for logs in vain as an API server, and everything else works", Claims("SEC-01"), Component(clusters.APIServer), func(ctx SpecContext) {
		d := On(ctx, topology)
		Expect(d.BecomesTrue("one can read the log of a container on each node", d.Timing.Noticed(), kubeletsAnswer)).To(Succeed())
		for _, forged := range worthless(d, fault.KubeletClientCertificate, d.Instances(clusters.APIServer)[0]) {
			By(forged.String())
			d.Then(forged.Losing(clusters.APIServer)) // which has to start anew to read it
			for _, name := range []probe.Name{probe.Write, probe.CachedRead, probe.Schedule, probe.Reconcile} {
				Expect(d).To(Resume(name).Within(d.Timing.ControlPlaneReturn(d.Outage())))
			}
			Expect(d).To(Resume(probe.ServiceAPI).Within(d.Timing.ServiceFindsServer(d.Outage())))
			Expect(d.StaysTrue("every kubelet is asked for a log, and refuses (401)", kubeletsRefuse)).To(Succeed())
			Expect(d.StaysTrue("every node is ready", AllNodesReady)).To(Succeed())
			Expect(d).To(KeepServing(probe.Workload))
			d.Undo()
			Expect(d.BecomesTrue("one can read logs again", d.Timing.ControlPlaneReturn(d.Outage()), kubeletsAnswer)).To(Succeed())
			Expect(d).To(Resume(probe.Write).Within(d.Timing.ControlPlaneReturn(d.Outage())))
			d.AwaitHealed()
		}
	})
})

// worthless are the ways in which an instance's certificate becomes worth nothing.
func worthless(d *Drill, use fault.Use, i clusters.Instance) []fault.Fault {
	return []fault.Fault{fault.ExpireCertificate(d.Cluster, use, i), fault.ForeignCA(use, i)}
}

// TheSchedulerIsCutOff is an experiment of SEC-01; sabotage runs use it too.
func TheSchedulerIsCutOff(d *Drill) {
	GinkgoHelper()
	isCutOff(d, clusters.Scheduler, probe.Schedule, probe.Reconcile)
}

// isCutOff has the only instance of an elected component do its work in vain, while the other
// one's goes on.
func isCutOff(d *Drill, component clusters.Component, work, others probe.Name) {
	GinkgoHelper()
	for _, forged := range worthless(d, fault.ClientCertificate, d.Instances(component)[0]) {
		By(forged.String())
		d.Then(forged.Losing(component))
		Expect(d).To(Lose(work).Within(d.Timing.Noticed()))
		Expect(d.BecomesTrueAfterFault("its lease has run out", d.Timing.LeaseTakeover(), leaseRanOut(component))).To(Succeed())
		for _, name := range []probe.Name{others, probe.Write, probe.CachedRead, probe.Workload, probe.Service, probe.ServiceAPI} {
			Expect(d).To(KeepServing(name))
		}
		Expect(d.StaysTrue("every node is ready", AllNodesReady)).To(Succeed())
		d.Undo()
		Expect(d).To(Resume(work).Within(d.Timing.ControlPlaneReturn(d.Outage())))
		d.AwaitHealed()
	}
}

// leaseRanOut fails while an elected component has a lease that counts.
func leaseRanOut(component clusters.Component) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		lease, err := c.CoordinationV1().Leases(metav1.NamespaceSystem).Get(ctx, string(component), metav1.GetOptions{})
		if err != nil {
			return err
		}
		if renewed := lease.Spec.RenewTime; renewed != nil && time.Since(renewed.Time) <= clusters.LeaseDuration {
			return fmt.Errorf("it was renewed at %s", renewed)
		}
		return nil
	}
}

// kubeletsAnswer fails unless each kubelet lets the API server read a log.
func kubeletsAnswer(ctx context.Context, c kubernetes.Interface) error {
	return eachKubelet(ctx, c, func(err error) error { return err })
}

// kubeletsRefuse fails unless each tells the API server that it does not know it.
func kubeletsRefuse(ctx context.Context, c kubernetes.Interface) error {
	return eachKubelet(ctx, c, func(err error) error { return Unless(apierrors.IsUnauthorized(err), err) })
}

// eachKubelet asks each for a line of its kube-proxy's log, by way of the API server.
func eachKubelet(ctx context.Context, c kubernetes.Interface, judge func(error) error) error {
	pods := c.CoreV1().Pods(metav1.NamespaceSystem)
	list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=" + string(clusters.KubeProxy)})
	if err != nil {
		return err
	}
	line := int64(1)
	for _, p := range list.Items {
		_, err := pods.GetLogs(p.Name, &corev1.PodLogOptions{TailLines: &line}).DoRaw(ctx)
		if err := judge(err); err != nil {
			return fmt.Errorf("the kubelet of %s: %w", p.Spec.NodeName, err)
		}
	}
	return Unless(len(list.Items) > 0, errors.New("there is no kube-proxy"))
}
