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
var _ = Describe("A flood of requests to a small API server", Topology(topology), Nightly, SpecPriority(10), Component(clusters.APIServer), func() {
	It("is turned away, and nodes, leaders and other clients do not notice", Claims("CONF-02"), func(ctx SpecContext) {
		AFloodIsThrottled(ctx, On(ctx, topology))
	})
})

// smallest leaves each level of priority and fairness a single seat: they share the sum of both
// limits, rounded up.
var smallest = []string{"--max-requests-inflight=1", "--max-mutating-requests-inflight=1"}

const (
	// floodRate is more requests a second than one seat serves: each has to ask etcd.
	floodRate = 1500
	// floodClients is more than may wait: a flow is dealt a hand of 6 queues, each for 50.
	floodClients = 500
)

// What an API server calls the flows: those of service accounts, of which the flood is one, and
// those of the cluster itself.
const flooded = "service-accounts"

var own = []string{"system-node-high", "system-leader-election", "kube-scheduler", "kube-system-service-accounts"}

// AFloodIsThrottled is the experiment of CONF-02; sabotage runs use it too.
func AFloodIsThrottled(ctx context.Context, d *Drill) {
	GinkgoHelper()
	server := d.Instances(clusters.APIServer)[0]
	d.Inject(fault.SetFlags(smallest, server).Losing(clusters.APIServer))
	for _, name := range []probe.Name{probe.Write, probe.ServiceAPI, probe.Schedule, probe.Reconcile} {
		Expect(d).To(Resume(name).Within(d.Timing.ControlPlaneReturn()))
	}
	plane, before, begun := controlPlane(ctx, d), countFlows(ctx, d), time.Now()
	d.Then(fault.FloodAPI(server.Node, floodClients, floodRate))

	Expect(d.BecomesTrue("whoever floods it is told to come back later (429, Retry-After)", d.Timing.Noticed(), turnedAway(ctx, d))).To(Succeed())
	Expect(d.StaysTrueFor("the leases of nodes and leaders are renewed in time", d.Timing.NodeNotReady().Upper, renewed(d.Timing))).To(Succeed())
	Expect(d).To(KeepServing(probe.Write))
	Expect(d).To(KeepServing(probe.ServiceAPI))
	Expect(d).To(Pause(probe.Schedule).Within(d.Timing.Binding()))
	Expect(d).To(Pause(probe.Reconcile).Within(d.Timing.Binding()))
	during := countFlows(ctx, d).since(before)
	Expect(d.Saw("only service accounts were turned away, and everybody else's requests were executed", during.String(), during.onlyFlooded())).To(Succeed())
	Expect(d.Saw("no component was restarted and no lease lost", d.Latency(probe.ServiceAPI, begun),
		errors.Join(plane.replaced(ctx), plane.deposed(d)))).To(Succeed())

	d.UndoLast()
	Expect(d.BecomesTrue("after the flood nothing of it waits", d.Timing.Noticed(), nobodyWaits)).To(Succeed())
	ended := countFlows(ctx, d)
	d.Hold(d.Timing.Noticed().Upper)
	after := countFlows(ctx, d).since(ended)
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
