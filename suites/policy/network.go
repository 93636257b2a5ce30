package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: the network policies of the pod network should be used (A:L84). The API takes them
// in every cluster, and it is the pod network that has to enforce them. Not every one does.
var _ = Describe("Who may talk to a pod", Topology("single-master"), Nightly, Component(clusters.APIServer), func() {
	It("is limited by network policies if the pod network is one that enforces them, and without an API server as with it", Claims("SEC-06"), func(ctx SpecContext) {
		trafficIsLimited(ctx, On(ctx, "single-master"))
	})
})

// trafficIsLimited expects of the pod network what its manifest declares: one that enforces
// policies keeps strangers out, and behind any other they are answered as before, for as long as
// the first kind has to put a policy in force.
func trafficIsLimited(ctx context.Context, d *Drill) {
	GinkgoHelper()
	enforced := declaredToEnforce(ctx, d)
	answered, sentence := []string{friend, stranger}, "friends and strangers are answered, as if there was no policy"
	if enforced {
		answered, sentence = []string{friend}, "friends are answered, and strangers are not"
	}
	t := startTraffic(ctx, d)
	Expect(d.BecomesTrue("without a policy friends and strangers are answered", d.Timing.Binding(), t.answers(friend, stranger))).To(Succeed())
	d.Afterwards(deletePolicies)
	Expect(d.Attempt("keep everybody but friends out by policies", createPolicies)).To(BeAccepted())
	Expect(d.BecomesTrue(sentence, d.Timing.Binding(), t.answers(answered...))).To(Succeed())
	Expect(d.StaysTrueFor(sentence, d.Timing.Binding().Upper, t.answers(answered...))).To(Succeed())

	d.Inject(fault.Stop(d.Instances(clusters.APIServer)...).Losing(clusters.APIServer))
	Expect(d).To(Lose(probe.CachedRead).Within(d.Timing.Noticed()))
	Expect(d.StaysTrueFor("without an API server too, "+sentence, d.Timing.StaleReads().Lower, t.answers(answered...))).To(Succeed())

	d.Undo()
	Expect(d).To(Resume(probe.Write).Within(d.Timing.StaticPodReturn()))
	Expect(d.StaysTrue("with the API server back, "+sentence, t.answers(answered...))).To(Succeed())
	Expect(d.Attempt("delete the policies", deletePolicies)).To(BeAccepted())
	Expect(d.BecomesTrue("without the policies friends and strangers are answered", d.Timing.Binding(), t.answers(friend, stranger))).To(Succeed())
	// The control: that nobody is answered would be noticed.
	Expect(d.BecomesTrue("nobody is answered where the server has no page", d.Timing.Noticed(), t.elsewhere().answers())).To(Succeed())
	if !enforced {
		d.Drifted("the API takes network policies, and the pod network of this node image enforces none")
	}
}

// networkManifest is the pod network that a node image brings, which clusters get.
const networkManifest = "/kind/manifests/default-cni.yaml"

// declaredToEnforce tells what the pod network is declared to do, and puts it into the record.
func declaredToEnforce(ctx context.Context, d *Drill) bool {
	GinkgoHelper()
	manifest, err := d.With(clusters.ControlPlane)[0].Exec(ctx, "cat", networkManifest)
	Expect(err).NotTo(HaveOccurred())
	enforced := readsPolicies(string(manifest))
	said := "its agents are not allowed to read them"
	if enforced {
		said = "its agents are allowed to read them"
	}
	d.Noted("the pod network declares whether it enforces network policies", said)
	return enforced
}

// readsPolicies tells whether a manifest lets anybody read network policies. Agents that may not
// cannot enforce them, and no other ones ask for it.
func readsPolicies(manifest string) bool {
	for line := range strings.Lines(manifest) {
		text, _, _ := strings.Cut(line, "#")
		if strings.Contains(text, "networkpolicies") {
			return true
		}
	}
	return false
}

// policies keep everybody out of every pod of the namespace, and let friends in to the server.
func policies() []*networkingv1.NetworkPolicy {
	inbound := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
	friends := networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: clusters.AppLabels(friend)}}
	return []*networkingv1.NetworkPolicy{
		{
			ObjectMeta: metav1.ObjectMeta{Name: "attempt-nobody"},
			Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: inbound},
		},
		{
			ObjectMeta: metav1.ObjectMeta{Name: "attempt-friends"},
			Spec: networkingv1.NetworkPolicySpec{
				PodSelector: metav1.LabelSelector{MatchLabels: clusters.AppLabels(asked)},
				PolicyTypes: inbound,
				Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{friends}}},
			},
		},
	}
}

func createPolicies(ctx context.Context, c kubernetes.Interface) error {
	for _, p := range policies() {
		if _, err := c.NetworkingV1().NetworkPolicies(Namespace).Create(ctx, p, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create the policy %s: %w", p.Name, err)
		}
	}
	return nil
}

// deletePolicies minds nothing that is missing: the spec may have ended early.
func deletePolicies(ctx context.Context, c kubernetes.Interface) error {
	var errs []error
	for _, p := range policies() {
		errs = append(errs, present(c.NetworkingV1().NetworkPolicies(Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{})))
	}
	return errors.Join(errs...)
}
