package drill

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/reports/record"
)

// Survivors lists the nodes that run workloads on other hosts.
func (d *Drill) Survivors(lost string) []*clusters.Node {
	return slices.DeleteFunc(d.WorkloadNodes(), func(n *clusters.Node) bool { return n.Host == lost })
}

// Masters are the control-plane nodes among nodes.
func Masters(nodes []*clusters.Node) []*clusters.Node { return withRole(nodes, clusters.ControlPlane) }

// Workers are the worker nodes among nodes.
func Workers(nodes []*clusters.Node) []*clusters.Node { return withRole(nodes, clusters.Worker) }

func withRole(nodes []*clusters.Node, role clusters.Role) []*clusters.Node {
	return slices.DeleteFunc(slices.Clone(nodes), func(n *clusters.Node) bool { return n.Role != role })
}

// AddressHolder is the balancer that has the shared address now. Nobody is preferred, so it
// may be any; without one the experiment cannot be done.
func (d *Drill) AddressHolder() *clusters.Node {
	holders, err := d.AddressHolders(d.ctx)
	if err == nil && len(holders) != 1 {
		err = fmt.Errorf("%d load balancers have it", len(holders))
	}
	d.require(err, "nobody to take the shared address from")
	return holders[0]
}

// readyNodes reads every node's Ready condition, through whichever API server answers.
func (d *Drill) readyNodes(ctx context.Context) (ready map[string]bool, err error) {
	for _, e := range d.APIServers() {
		if ready, err = d.readyThrough(ctx, e); err == nil {
			return ready, nil
		}
	}
	return nil, err
}

func (d *Drill) readyThrough(ctx context.Context, e clusters.Endpoint) (map[string]bool, error) {
	client, err := d.Client(e)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	return nodeReadiness(ctx, client)
}

// answerTime is how long an API server may take to list the nodes, before another one is asked.
const answerTime = 3 * time.Second

func nodeReadiness(ctx context.Context, c kubernetes.Interface) (map[string]bool, error) {
	list, err := c.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	ready := map[string]bool{}
	for _, n := range list.Items {
		ready[n.Name] = IsReady(n)
	}
	return ready, nil
}

// IsReady tells whether the API calls the node ready.
func IsReady(n corev1.Node) bool { return ReadyCondition(n).Status == corev1.ConditionTrue }

// ReadyCondition is what the API says of whether a node is ready; empty where it says nothing.
func ReadyCondition(n corev1.Node) corev1.NodeCondition {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c
		}
	}
	return corev1.NodeCondition{}
}

// NotReadySince is when the API began to call a node not ready, by its own time stamp. That is cut to
// whole seconds: what is measured from it never comes out too short.
func (d *Drill) NotReadySince(n *clusters.Node) time.Time {
	ginkgo.GinkgoHelper()
	client, err := d.api()
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	node, err := client.CoreV1().Nodes().Get(d.ctx, n.Name, metav1.GetOptions{})
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	gomega.Expect(IsReady(*node)).To(gomega.BeFalse(), "node %s is ready", n.Name)
	return ReadyCondition(*node).LastTransitionTime.Time
}

// AllNodesReady fails unless the API calls every node ready.
func AllNodesReady(ctx context.Context, c kubernetes.Interface) error {
	ready, err := nodeReadiness(ctx, c)
	for name, is := range ready {
		if !is {
			err = fmt.Errorf("node %s is not ready", name)
		}
	}
	return err
}

// NodeJoined fails unless the API has a node of that name, and calls it ready.
func NodeJoined(name string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		ready, err := nodeReadiness(ctx, c)
		if err != nil {
			return err
		}
		is, known := ready[name]
		return Unless(is, fmt.Errorf("node %s is known: %t, ready: %t", name, known, is))
	}
}

// NodeAbsent fails while the API has a node of that name.
func NodeAbsent(name string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		ready, err := nodeReadiness(ctx, c)
		if err != nil {
			return err
		}
		_, known := ready[name]
		return Unless(!known, fmt.Errorf("node %s is there", name))
	}
}

// DeleteNode forgets a node that is lost for good.
func DeleteNode(name string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		return c.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{})
	}
}

// AllNodesConnected fails unless the API calls every node ready and each has renewed its lease
// since an instant, by the clock that all nodes share. A restored store calls nodes ready
// because they were when it was saved.
func AllNodesConnected(since time.Time) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		ready, err := nodeReadiness(ctx, c)
		if err != nil {
			return err
		}
		leases, err := c.CoordinationV1().Leases(corev1.NamespaceNodeLease).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		renewed := map[string]bool{}
		for _, l := range leases.Items {
			renewed[l.Name] = l.Spec.RenewTime != nil && l.Spec.RenewTime.After(since)
		}
		for name, is := range ready {
			if !is || !renewed[name] {
				return fmt.Errorf("node %s has not connected again: ready %v, lease renewed %v", name, is, renewed[name])
			}
		}
		return nil
	}
}

// ReadyNodes counts the nodes that the API calls ready: the cluster's capacity.
func (d *Drill) ReadyNodes() int {
	ginkgo.GinkgoHelper()
	ready, err := d.readyNodes(d.ctx)
	d.require(err, "cannot read the nodes")
	n := 0
	for _, isReady := range ready {
		if isReady {
			n++
		}
	}
	return n
}

// notReadyExpectation is a matcher on a drill: silent nodes are marked.
type notReadyExpectation struct {
	nodes   []*clusters.Node
	bounds  clusters.Bounds
	problem string
}

// MarkNotReady expects exactly these nodes to lose their Ready condition, and
// measures when the last of them did, from the fault on.
func MarkNotReady(nodes ...*clusters.Node) *notReadyExpectation {
	return &notReadyExpectation{nodes: nodes}
}

// Within bounds the measured duration on both sides.
func (e *notReadyExpectation) Within(b clusters.Bounds) *notReadyExpectation {
	e.bounds = b
	return e
}

// Match implements Gomega's matcher.
func (e *notReadyExpectation) Match(actual any) (bool, error) {
	d, ok := actual.(*Drill)
	if !ok {
		return false, fmt.Errorf("this matcher is about a *drill.Drill, not %T", actual)
	}
	reference := d.injected()
	o := record.Observation{
		Expected: fmt.Sprintf("exactly %s are marked as not ready after %s to %s", e.who(), seconds(e.bounds.Lower), seconds(e.bounds.Upper)),
		Lower:    floatOf(e.bounds.Lower), Upper: floatOf(e.bounds.Upper),
	}
	d.expects(o.Expected)
	ctx, cancel := context.WithTimeout(d.ctx, max(time.Second, reference+e.bounds.Upper+patience-d.now()))
	defer cancel()
	err := clusters.Await(ctx, 100*time.Millisecond, "the lost nodes to be marked", func(ctx context.Context) error { return e.marked(ctx, d) })
	measured := d.now() - reference
	o.Observed, o.Seconds = "marked after "+seconds(measured), floatOf(measured)
	o.OK = err == nil && measured >= e.bounds.Lower && measured <= e.bounds.Upper
	if err != nil {
		o.Observed = err.Error()
	}
	d.observe(o)
	e.problem = o.Expected + ", but: " + o.Observed
	return o.OK, d.ctx.Err()
}

func (e *notReadyExpectation) marked(ctx context.Context, d *Drill) error {
	ready, err := d.readyNodes(ctx)
	if err != nil {
		return err
	}
	return e.among(slices.Concat(Masters(d.Nodes), Workers(d.Nodes)), ready)
}

// among fails unless exactly those of the nodes are not ready that are expected.
func (e *notReadyExpectation) among(nodes []*clusters.Node, ready map[string]bool) error {
	for _, n := range nodes {
		lost := slices.Contains(e.nodes, n)
		if lost == ready[n.Name] {
			return fmt.Errorf("node %s: lost %t, ready %t", n.Name, lost, ready[n.Name])
		}
	}
	return nil
}

// who names the nodes.
func (e *notReadyExpectation) who() string {
	var names []string
	for _, n := range e.nodes {
		if !slices.Contains(names, n.Name) {
			names = append(names, n.Name)
		}
	}
	return strings.Join(names, ", ")
}

// FailureMessage implements Gomega's matcher.
func (e *notReadyExpectation) FailureMessage(any) string { return "expected that " + e.problem }

// NegatedFailureMessage implements Gomega's matcher.
func (e *notReadyExpectation) NegatedFailureMessage(any) string {
	return "expected that the nodes stay ready"
}
