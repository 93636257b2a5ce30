package hosts

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: redundancy reduces some classes of failure, and not that of a human mistake
// (A:L32, A:L91).
var _ = Describe("On three hosts redundancy does not help against", Topology("three-host-stacked"), Nightly, func() {
	const topology = "three-host-stacked"

	It("a deleted namespace, which is gone for every API server", Claims("TOPO-22"), func(ctx SpecContext) {
		d := On(ctx, topology)
		d.Inject(fault.DeleteNamespace(d.Cluster, Namespace))
		for _, e := range d.APIServers() {
			client, err := d.Client(e)
			Expect(err).NotTo(HaveOccurred())
			Expect(d.Told("through "+e.Name+" it is gone", isGone(ctx, client))).To(Succeed())
		}
		Expect(d).To(KeepServing(probe.Write))
	})

	It("a webhook that nobody answers, which stops every API server's writes", Claims("TOPO-22"), Component(clusters.APIServer), func(ctx SpecContext) {
		d := On(ctx, topology)
		d.Inject(fault.FailClosedWebhook(d.Cluster, "configmaps"))
		Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
		Expect(d).To(KeepServing(probe.ConsistentRead))
		d.Undo()
		Expect(d).To(Resume(probe.Write).Within(d.Timing.Noticed()))
	})

	It("the same bad flag for all API servers", Claims("TOPO-22"), Component(clusters.APIServer), func(ctx SpecContext) {
		d := On(ctx, topology)
		d.Inject(fault.CrashLoop(d.Instances(clusters.APIServer)...).Losing(clusters.APIServer))
		for _, name := range []probe.Name{probe.Write, probe.CachedRead} {
			Expect(d).To(Lose(name).Within(d.Timing.Noticed()))
		}
		Expect(d).To(KeepServing(probe.Workload))
		d.Undo()
		Expect(d).To(Resume(probe.Write).Within(d.Timing.ControlPlaneReturn(d.Outage())))
	})
})

func isGone(ctx context.Context, c kubernetes.Interface) error {
	_, err := c.CoreV1().Namespaces().Get(ctx, Namespace, metav1.GetOptions{})
	return Unless(apierrors.IsNotFound(err), err)
}
