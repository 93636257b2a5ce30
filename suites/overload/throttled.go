package overload

import (
	"context"
	"errors"
	"fmt"
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

// Document A: the rate of API calls can be throttled, by settings that matter for very small
// and for very large clusters (A:L70-72).
var _ = Describe("A flood of requests to a small API server", Topology(topology), Nightly, Component(clusters.APIServer), func() {
	It("is turned away, while nodes, leaders and other clients are served", Claims("CONF-02"), func(ctx SpecContext) {
		AFloodIsThrottled(ctx, On(ctx, topology))
	})

	// The control experiment: the two plain counters of 2018.
	It("has everybody turned away without priority and fairness", Claims("CONF-02"), func(ctx SpecContext) {
		d := On(ctx, topology)
		flooder, neighbour := twoClients(ctx, d)
		d.Inject(fault.SetFlags(append([]string{"--enable-priority-and-fairness=false"}, few...), d.Instances(clusters.APIServer)...).Losing(clusters.APIServer))
		Expect(d).To(Resume(probe.Write).Within(d.Timing.ControlPlaneReturn(d.Outage())))
		Expect(d.BecomesTrue("another client than the flooder is served", d.Timing.Noticed(), served(neighbour))).To(Succeed())

		flood := startFlood(ctx, flooder)
		Expect(d.BecomesTrue(flooderTurnedAway, d.Timing.Turn(), flood.turnedAway)).To(Succeed())
		asked := askRepeatedly(ctx, neighbour)
		Expect(d.Saw("so is the other, most of the times that it asks", asked.String(), asked.mostlyTurnedAway())).To(Succeed())

		flood.stop()
		Expect(d.BecomesTrue("after the flood the other is served again", d.Timing.Turn(), served(neighbour))).To(Succeed())
		d.Undo()
		Expect(d).To(Resume(probe.Write).Within(d.Timing.StaticPodReturn()))
	})
})

const flooderTurnedAway = "whoever floods it is told to come back later (429, Retry-After)"

// few leave a seat for everybody: the levels of priority share the sum of both limits, and what
// exempt clients use, such as the probes, goes off before.
var few = []string{"--max-requests-inflight=20", "--max-mutating-requests-inflight=10"}

// AFloodIsThrottled is the experiment of CONF-02; sabotage runs use it too.
func AFloodIsThrottled(ctx context.Context, d *Drill) {
	GinkgoHelper()
	flooder, neighbour := twoClients(ctx, d)
	d.Inject(fault.SetFlags(few, d.Instances(clusters.APIServer)...).Losing(clusters.APIServer))
	for _, name := range []probe.Name{probe.Write, probe.Schedule, probe.Reconcile} {
		Expect(d).To(Resume(name).Within(d.Timing.ControlPlaneReturn(d.Outage())))
	}
	Expect(d.BecomesTrue("another client than the flooder is served", d.Timing.Noticed(), served(neighbour))).To(Succeed())
	plane, before, begun := ControlPlane(ctx, d), countFlows(ctx, d), time.Now()

	flood := startFlood(ctx, flooder)
	Expect(d.BecomesTrue(flooderTurnedAway, d.Timing.Turn(), flood.turnedAway)).To(Succeed())
	asked := askRepeatedly(ctx, neighbour)
	Expect(d.Saw("the other is served, most of the times that it asks", asked.String(), asked.mostlyServed())).To(Succeed())
	Expect(d.Attempt("create a pod", create(choosing(WorkloadPod(d.WorkloadNodes()[0], late, "heartbeat"))))).To(BeAccepted())
	Expect(d.BecomesTrue("the scheduler places it, and the kubelet runs it", d.Timing.Binding(), running(late))).To(Succeed())
	d.Afterwards(ScaleTo(1))
	Expect(d.Attempt("scale a deployment", ScaleTo(2))).To(BeAccepted())
	Expect(d.BecomesTrue("the controller manager carries that out", d.Timing.Binding(), ReplicasReady(2))).To(Succeed())
	Expect(d.StaysTrueFor("nodes and leaders renew their leases in time", d.Timing.NodeNotReady().Upper, renewed(d.Timing))).To(Succeed())

	during := countFlows(ctx, d).since(before)
	Expect(d.Saw("only service accounts, of which the flooder is one, were turned away, and everybody else's requests were executed",
		during.String(), during.onlyFlooded())).To(Succeed())
	Expect(d.Saw("no component was restarted and no lease lost", d.Latency(probe.Write, begun),
		errors.Join(plane.Replaced(ctx), plane.Deposed(d)))).To(Succeed())
	asked = askRepeatedly(ctx, neighbour)
	Expect(d.Saw("the other is served most of the times, in the end too", asked.String()+"; "+flood.String(), asked.mostlyServed())).To(Succeed())

	flood.stop()
	Expect(d.BecomesTrue("after the flood nothing of it waits", d.Timing.Turn(), nobodyWaits)).To(Succeed())
	then := countFlows(ctx, d)
	d.Hold(d.Timing.Noticed().Upper)
	after := countFlows(ctx, d).since(then)
	Expect(d.Saw("and nobody is turned away any more", after.String(), after.nobody())).To(Succeed())

	d.Undo()
	Expect(d).To(Resume(probe.Write).Within(d.Timing.StaticPodReturn()))
	d.Drifted("API Priority and Fairness, on by default since 1.20, makes seats of the sum of both limits and gives each kind of client its own; " +
		"two plain counters turned everybody away alike")
}

// renewed fails when a node is not ready, or a lease older than whoever looks at it minds.
func renewed(t clusters.Timing) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		if err := AllNodesReady(ctx, c); err != nil {
			return err
		}
		nodes, err := c.CoordinationV1().Leases(corev1.NamespaceNodeLease).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, l := range nodes.Items {
			if err := fresh(l.Name, l.Spec.RenewTime, t.Profile.NodeMonitorGracePeriod); err != nil {
				return err
			}
		}
		for _, component := range []clusters.Component{clusters.Scheduler, clusters.ControllerManager} {
			l, err := c.CoordinationV1().Leases(metav1.NamespaceSystem).Get(ctx, string(component), metav1.GetOptions{})
			if err != nil {
				return err
			}
			if err := fresh(l.Name, l.Spec.RenewTime, clusters.LeaseDuration); err != nil {
				return err
			}
		}
		return nil
	}
}

func fresh(name string, at *metav1.MicroTime, limit time.Duration) error {
	if at == nil || time.Since(at.Time) > limit {
		return fmt.Errorf("the lease of %s was renewed at %v, more than %s ago", name, at, limit)
	}
	return nil
}
