// Package balancers holds the specs of what stands before the API servers (A:L33, A:L34,
// B:L20 to B:L26).
package balancers

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	"faultline/reports/record"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

var _ = Describe("A load balancer before three masters", Topology("multi-master"), Core, func() {
	const topology = "multi-master"

	It("leaves out a dead API server, and takes it back", Claims("LB-01"), Component(clusters.APIServer), func(ctx SpecContext) {
		d := On(ctx, topology)
		lost := d.Instances(clusters.APIServer)[0]
		front := d.WatchFront()
		d.Inject(fault.HoldDown(lost))

		Expect(front.LeavesOut(lost.Node.APIServer(), d.Timing.LoadBalancer())).To(Succeed())
		for _, name := range []probe.Name{probe.Write, probe.ConsistentRead} {
			Expect(d).To(Pause(name).Through(d.Front()).Within(d.Timing.LoadBalancer()))
		}
		Expect(d).To(Lose(probe.CachedRead).On(lost.Node).As(record.Refused).Within(d.Timing.Noticed()))
		Expect(d).To(KeepServing(probe.CachedRead).On(Masters(d.Nodes)[1:]...))

		d.Undo()
		returned := d.Timing.CrashLoopReturn(d.Outage())
		Expect(d).To(Resume(probe.CachedRead).On(lost.Node).Within(returned))
		Expect(front.TakesBack(lost.Node.APIServer(), d.Timing.LoadBalancerTakesBack(returned))).To(Succeed())
	})

	It("is a single point of failure for clients and workers, and not for the masters", Claims("LB-02", "LB-06"), Component(clusters.Envoy), func(ctx SpecContext) {
		d := On(ctx, topology)
		// A process that is only held down serves for moments.
		d.Inject(fault.PowerOff(d.Forwarder).Losing(clusters.Envoy))

		Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
		Expect(d).To(KeepServing(probe.CachedRead))
		Expect(d).To(KeepServing(probe.Workload))
		Expect(d).To(KeepServing(probe.ServiceAPI))
		d.AskThrough(d.With(clusters.ControlPlane)[0].APIServer())
		Expect(d.StaysTrue("every new connection from inside the cluster is answered", AllConnect(Workers(d.Nodes)[0]))).To(Succeed())
		Expect(d).To(MarkNotReady(Workers(d.Nodes)...).Within(d.Timing.NodeNotReady()))
		for _, component := range []clusters.Component{clusters.Scheduler, clusters.ControllerManager} {
			Expect(d.LeaseKept(component)).To(Succeed())
		}

		d.Undo()
		Expect(d).To(Resume(probe.Write).Within(d.Timing.LoadBalancerReturn()))
		Expect(d.BecomesTrue("the workers are called ready again", d.Timing.NodeReturn(), AllNodesReady)).To(Succeed())
	})
})

var _ = Describe("Two load balancers with one address before three masters", Topology("multi-master-two-lbs"), Core, func() {
	It("leave no single point of failure", Claims("LB-07"), Component(clusters.HAProxy), func(ctx SpecContext) {
		NoBalancerIsMissed(On(ctx, "multi-master-two-lbs"))
	})
})

var _ = Describe("One name with the addresses of three masters, and no load balancer", Topology("multi-master-dns"), Nightly, func() {
	It("is enough for clients that try every address", Claims("LB-04"), Component(clusters.APIServer), func(ctx SpecContext) {
		d := On(ctx, "multi-master-dns")
		masters := d.With(clusters.ControlPlane)
		Expect(d.Front().Address).To(Equal(masters[0].APIServer().Address), "clients try the first master first")

		By("having its API server refuse")
		d.Then(fault.HoldDown(masters[0].Instances(clusters.APIServer)...))
		Expect(d).To(Pause(probe.Write).Within(d.Timing.Noticed()))
		Expect(d.Attempt("write through a new connection", writeOnce)).To(BeAccepted())
		d.Undo()
		d.AwaitHealed()

		By("having it fall silent")
		d.Then(fault.PowerOff(masters[0]))
		// The connections of before have left it, and wait for an election at most.
		Expect(d).To(Pause(probe.Write).Within(d.Timing.EtcdElection()))
		Expect(d.BecomesTrue("a client that connects anew passes the silent address, and writes", d.Timing.PastSilence(len(masters)), writeOnce)).To(Succeed())
		d.Undo()
		Expect(d).To(Resume(probe.CachedRead).On(masters[0]).Within(d.Timing.NodeReturn()))
	})
})

// writeOnce makes an object and deletes it.
func writeOnce(ctx context.Context, c kubernetes.Interface) error {
	objects := c.CoreV1().ConfigMaps(Namespace)
	made, err := objects.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "attempt-"}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return objects.Delete(ctx, made.Name, metav1.DeleteOptions{})
}

// NoBalancerIsMissed is the experiment of LB-07; sabotage runs use it too.
func NoBalancerIsMissed(d *Drill) {
	GinkgoHelper()
	d.Inject(fault.PowerOff(d.AddressHolder()))
	Expect(d).To(Pause(probe.Write).Within(d.Timing.AddressMoves()))
	Expect(d).To(KeepServing(probe.CachedRead))

	master := d.With(clusters.ControlPlane)[0]
	d.Then(fault.PowerOff(master))
	Expect(d).To(Pause(probe.Write).Within(d.Timing.HostLoss()))
	Expect(d).To(Pause(probe.Schedule).Within(d.Timing.HostLossFailover()))
	Expect(d).To(Pause(probe.Reconcile).Within(d.Timing.HostLossFailover()))
	Expect(d).To(MarkNotReady(master).Within(d.Timing.NodeNotReady()))
	Expect(d).To(KeepServing(probe.Workload))

	d.Undo()
	Expect(d).To(Resume(probe.CachedRead).On(master).Within(d.Timing.NodeReturn()))
}
