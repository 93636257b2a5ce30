package policy

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// Document A: defaults have to be hardened, worker nodes locked down (A:L82). kubeadm turns on
// what does that: the node authorizer and the admission plugin NodeRestriction.
var _ = Describe("Whoever has the credentials of a worker's kubelet", Topology(topology), Nightly, Component(clusters.APIServer), func() {
	It("gets what that worker's pods need, and nothing of others", Claims("SEC-04"), func(ctx SpecContext) {
		AWorkerIsLockedDown(ctx, On(ctx, topology))
	})
})

// AWorkerIsLockedDown is the experiment of SEC-04; sabotage runs use it too.
func AWorkerIsLockedDown(ctx context.Context, d *Drill) {
	GinkgoHelper()
	robbed, other := Workers(d.Nodes)[0], Workers(d.Nodes)[1]
	thief, err := steal(ctx, robbed)
	Expect(d.Told("whoever is root on a worker can read its kubelet's credentials", err)).To(Succeed())
	d.Afterwards(takeSecretsBack)
	Expect(d.Attempt("give a pod on each of two workers a secret", handSecretsOut(robbed, other))).To(BeAccepted())

	theyAreKept(d, newRights(thief, ofKubelet(robbed.Name, uidOf(ctx, d, robbed), other.Name)...))

	Expect(d.Attempt("delete the pod on the worker, and keep its secret", deletePod(own))).To(BeAccepted())
	Expect(d.BecomesTrue("once the pod has ended, the secret is refused through every API server, too", d.Timing.Termination(), newRights(thief, ofFormerPod).known(d.APIServers()...))).To(Succeed())
}

// kubelet is the subject with a worker's credentials.
const kubelet = "a worker's kubelet"

// ofKubelet is what the credentials of a worker are good for. Beside what is refused is
// something like it that is granted, which tells what the refusal was for.
func ofKubelet(node string, uid types.UID, other string) []right {
	const secrets, pods, nodes = core + "/secrets", core + "/pods", "/api/v1/nodes/"
	may := func(q demand) right { return right{who: kubelet, demand: q, granted: true} }
	mayNot := func(q demand, because string) right { return right{who: kubelet, demand: q, because: because} }
	return []right{
		may(read("read a secret that a pod on its node mounts", secrets+"/"+own)),
		mayNot(read("read a secret that no pod on its node mounts", secrets+"/"+foreign), "no relationship found"),
		mayNot(read("list the secrets of the namespace", secrets), ""),
		may(change("label its own node", nodes+node, label("faultline/attempt"))),
		mayNot(change("label its own node with what keeps workloads apart", nodes+node, label("node-restriction.kubernetes.io/attempt")), "not allowed to modify labels"),
		mayNot(change("label another node", nodes+other, label("faultline/attempt")), "not allowed to modify node"),
		may(create("create a mirror pod for its own node", pods, idlePod(boundTo(node), mirrorOf(node, uid)))),
		mayNot(create("create a mirror pod for another node", pods, idlePod(boundTo(other), mirrorOf(node, uid))), "spec.nodeName set to itself"),
		mayNot(create("create any other pod for its own node", pods, idlePod(boundTo(node))), "can only create mirror pods"),
	}
}

// ofFormerPod is what the credentials are good for only while the pod is there.
var ofFormerPod = right{
	who: kubelet, because: "no relationship found",
	demand: read("read a secret that a pod on its node has mounted", core+"/secrets/"+own),
}

func deletePod(name string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		return c.CoreV1().Pods(Namespace).Delete(ctx, name, metav1.DeleteOptions{})
	}
}

// label is a patch that adds one.
func label(name string) any {
	return map[string]any{"metadata": map[string]any{"labels": map[string]string{name: "true"}}}
}
