package components

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// inTreeScript starts a controller manager with a cloud provider of document A's time, in
// the container of the one that runs. It has to refuse before it does anything.
const inTreeScript = `id=$(crictl ps --quiet --name '^kube-controller-manager$' | head -n 1)
timeout 20 crictl exec "$id" kube-controller-manager --kubeconfig=/etc/kubernetes/controller-manager.conf --cloud-provider=gce 2>&1`

var _ = Describe("Without a cloud", Topology("single-host-minimal"), Core, func() {
	It("a cluster works without a cloud controller manager, and the controller manager knows no cloud any more", Claims("CCM-03", "KCM-04"), Component(clusters.ControllerManager), func(ctx SpecContext) {
		WorksWithoutACloud(ctx, On(ctx, "single-host-minimal"))
	})
})

// WorksWithoutACloud is the experiment of CCM-03; sabotage runs use it too.
func WorksWithoutACloud(ctx context.Context, d *Drill) {
	GinkgoHelper()
	Expect(d.Attempt("create a service of the type LoadBalancer", createBalanced)).To(BeAccepted())
	Expect(d.StaysTrue("it has no address outside of the cluster, and no node waits for a cloud", noCloud)).To(Succeed())
	Expect(d.Attempt("delete it", deleteBalanced)).To(BeAccepted())

	out, err := d.Instances(clusters.ControllerManager)[0].Node.Exec(ctx, "sh", "-c", inTreeScript)
	refused := bytes.Contains(out, []byte("built-in cloud providers are disabled"))
	Expect(d.Told("a controller manager with a cloud provider of its own refuses to start",
		Unless(err != nil && refused, fmt.Errorf("%w: it says %.300s", err, out)))).To(Succeed())
	d.Drifted("the cloud providers have left the controller manager (1.31): a cloud controller manager is all there is")
}

// balanced is a service that a cloud would give an address.
const balanced = "attempt-balanced"

func createBalanced(ctx context.Context, c kubernetes.Interface) error {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: balanced},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80}}},
	}
	_, err := c.CoreV1().Services(Namespace).Create(ctx, service, metav1.CreateOptions{})
	return err
}

func deleteBalanced(ctx context.Context, c kubernetes.Interface) error {
	return c.CoreV1().Services(Namespace).Delete(ctx, balanced, metav1.DeleteOptions{})
}

// noCloud fails when somebody acts for a cloud, or a node waits for one.
func noCloud(ctx context.Context, c kubernetes.Interface) error {
	service, err := c.CoreV1().Services(Namespace).Get(ctx, balanced, metav1.GetOptions{})
	if err == nil && len(service.Status.LoadBalancer.Ingress) > 0 {
		err = fmt.Errorf("it has the addresses %v", service.Status.LoadBalancer.Ingress)
	}
	nodes, listed := c.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err := errors.Join(err, listed); err != nil {
		return err
	}
	for _, n := range nodes.Items {
		if slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == "node.cloudprovider.kubernetes.io/uninitialized" }) {
			return fmt.Errorf("node %s waits for a cloud", n.Name)
		}
	}
	return nil
}
