package drill

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
)

// kubeletUser is before a node's name in that of its kubelet.
const kubeletUser = "system:node:"

// heartbeatMemory is how far back heartbeats are looked for, of which each kubelet sends one
// every ten seconds.
const heartbeatMemory = time.Minute

// LedTo are the nodes whose kubelets talk to the API server of a master: the latest heartbeat
// of each went through it, by the audit logs. A load balancer that has made a connection does
// not take it back, and kubelets that speak HTTP/2 end idle ones only.
func (d *Drill) LedTo(server *clusters.Node) []*clusters.Node {
	ginkgo.GinkgoHelper()
	actions := map[string][]clusters.Action{}
	for _, n := range d.With(clusters.ControlPlane) {
		list, err := n.Actions(d.ctx, time.Now().Add(-heartbeatMemory))
		d.require(err, "nobody knows to whom kubelets talk")
		actions[n.Name] = list
	}
	through, nodes := heartbeats(actions), slices.Concat(Masters(d.Nodes), Workers(d.Nodes))
	d.require(allBeat(through, nodes), "nobody knows to whom kubelets talk")
	return slices.DeleteFunc(nodes, func(n *clusters.Node) bool { return through[n.Name] != server.Name })
}

// NoHeartbeats fails when a node has renewed its lease since the first look.
func NoHeartbeats() Request {
	var first map[string]time.Time
	return func(ctx context.Context, c kubernetes.Interface) error {
		leases, err := c.CoordinationV1().Leases(corev1.NamespaceNodeLease).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		renewed := map[string]time.Time{}
		for _, l := range leases.Items {
			if l.Spec.RenewTime != nil {
				renewed[l.Name] = l.Spec.RenewTime.Time
			}
		}
		if first == nil {
			first = renewed
		}
		return Unless(len(first) > 0 && maps.EqualFunc(first, renewed, time.Time.Equal), fmt.Errorf("leases were renewed at %v and are at %v", first, renewed))
	}
}

// allBeat fails unless there is a heartbeat of every node.
func allBeat(through map[string]string, nodes []*clusters.Node) error {
	for _, n := range nodes {
		if through[n.Name] == "" {
			return fmt.Errorf("no audit log has a heartbeat of %s within %s", n.Name, heartbeatMemory)
		}
	}
	return nil
}

// heartbeats tells through which server the latest heartbeat of each node went that was taken.
func heartbeats(actions map[string][]clusters.Action) map[string]string {
	through, latest := map[string]string{}, map[string]time.Time{}
	for server, list := range actions {
		for _, a := range list {
			node, kubelet := strings.CutPrefix(a.User, kubeletUser)
			if kubelet && a.OnLease() && a.Code < 300 && a.At.After(latest[node]) {
				through[node], latest[node] = server, a.At
			}
		}
	}
	return through
}
