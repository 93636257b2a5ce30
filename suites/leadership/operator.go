package leadership

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: while the API is down workloads run on, unless they need it themselves (A:L27).
var _ = Describe("While no API server runs", Topology("single-master"), Component(clusters.APIServer), Core, func() {
	It("an operator loses its office and its work stands still, and what needs no API runs on", Claims("API-03"), func(ctx SpecContext) {
		d := On(ctx, "single-master")
		g := newGroup(ctx, d, "operator")
		operator := g.join("first", crashes)
		operator.awaitAct(time.Now(), d.Timing.Binding().Upper)
		d.Inject(fault.HoldDown(d.Instances(clusters.APIServer)...).Losing(clusters.APIServer))

		Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
		Expect(d.Attempt("change what the operator looks after", changeObject(operator.object()))).To(BeRefused())
		// It acts many times between two renewals, and a renewal is at most one retry old.
		gaveUp := within(d, renewDeadline-retryPeriod, renewDeadline+2*retryPeriod)
		acted := operator.awaitEnd(gaveUp.Upper + patience)
		Expect(d.Took("the operator gives up", operator.endedAt.Sub(acted), gaveUp)).To(Succeed())
		for _, name := range []probe.Name{probe.Workload, probe.Service, probe.Resolve} {
			Expect(d).To(KeepServing(name))
		}

		d.Undo()
		Expect(d).To(Resume(probe.Write).Within(d.Timing.ControlPlaneReturn(d.Outage())))
		d.AwaitHealed()
		// Its successor is another process, as after the kubelet's restart.
		back := time.Now()
		takeover := within(d, leaseDuration, leaseDuration+followerRetry)
		successor := g.join("second", crashes)
		Expect(d.Took("its successor works", successor.awaitAct(back, takeover.Upper+patience).Sub(back), takeover)).To(Succeed())
	})
})

// changeObject changes what an elector acts on, as somebody would who wants something of an
// operator.
func changeObject(name string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		_, err := c.CoreV1().ConfigMaps(Namespace).Patch(ctx, name, types.MergePatchType, []byte(`{"data":{"wanted":"more"}}`), metav1.PatchOptions{})
		return err
	}
}
