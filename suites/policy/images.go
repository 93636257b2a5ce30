package policy

import (
	"context"
	"errors"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// Document A: images have to come from a registry that one trusts (A:L79).
var _ = Describe("Images of any registry but the trusted one", Topology(topology), Nightly, Component(clusters.APIServer), func() {
	It("are refused by every API server that a policy names the registry to, also without one of them, and by that one as soon as it is back", Claims("SEC-08"), func(ctx SpecContext) {
		d := On(ctx, topology)
		makeNamespace(d, trusting, nil)
		d.Afterwards(trustAny)
		Expect(d.Attempt("name the registry that a namespace trusts", trustOne)).To(BeAccepted())
		r := newRights(asAdministrator(d), byOrigin...)
		Expect(d.BecomesTrue("every API server knows it", d.Timing.Binding(), r.known(d.APIServers()...))).To(Succeed())
		theyAreKept(d, r)
		Expect(d.Attempt("take the policy back", trustAny)).To(BeAccepted())
		Expect(d.BecomesTrue("then any image is taken", d.Timing.Binding(), newRights(asAdministrator(d), byNobody...).exactly(d.APIServers()...))).To(Succeed())
		endNamespaces(d, trusting)
	})
})

const (
	// trusting is the namespace with the policy, which only is the name of.
	trusting = "faultline-trusting"
	only     = "attempt-trusted-registry"
	// elsewhere is an image of a registry that everybody knows.
	elsewhere = "registry.k8s.io/attempt:1"
	local     = clusters.RegistryName + "/attempt:1"
)

// byOrigin is what admission grants whoever may create pods, under the policy.
var byOrigin = append([]right{
	fromElsewhere("whose image is of another registry", idlePod(from(elsewhere))),
	fromElsewhere("whose image names no registry", idlePod(from("attempt:1"))),
	fromElsewhere("whose image is of a registry with a longer name", idlePod(from(clusters.RegistryName+"0/attempt:1"))),
	fromElsewhere("that begins with a container of another registry", idlePod(from(local), begunBy(elsewhere))),
}, byNobody[1:]...)

func fromElsewhere(what string, pod *corev1.Pod) right {
	return right{who: administrator, demand: create("create a pod "+what, podsIn(trusting), pod), because: "images are of " + clusters.RegistryName}
}

// byNobody is what it grants without the policy: the first of it is what the policy forbids.
var byNobody = []right{
	{who: administrator, demand: create("create a pod whose image is of another registry", podsIn(trusting), idlePod(from(elsewhere))), granted: true},
	{who: administrator, demand: create("create a pod whose images are of the trusted registry", podsIn(trusting), idlePod(from(local), begunBy(local))), granted: true},
	{who: administrator, demand: create("create a pod of another registry in another namespace", podsIn(Namespace), idlePod(from(elsewhere))), granted: true},
}

// ofTheRegistry is the policy's condition, in the Common Expression Language.
const ofTheRegistry = `object.spec.containers.all(c, c.image.startsWith("` + clusters.RegistryName + `/")) &&
(!has(object.spec.initContainers) || object.spec.initContainers.all(c, c.image.startsWith("` + clusters.RegistryName + `/")))`

// trustOne has the API refuse pods of the namespace that have an image of another registry.
func trustOne(ctx context.Context, c kubernetes.Interface) error {
	forbidden := metav1.StatusReasonForbidden
	rule := admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
		Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
	}
	policy := &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: only},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: rule}}},
			Validations:      []admissionv1.Validation{{Expression: ofTheRegistry, Message: "images are of " + clusters.RegistryName, Reason: &forbidden}},
		},
	}
	named := &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: trusting}}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: only},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: only, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
			MatchResources: &admissionv1.MatchResources{NamespaceSelector: named},
		},
	}
	admission := c.AdmissionregistrationV1()
	_, err := admission.ValidatingAdmissionPolicies().Create(ctx, policy, metav1.CreateOptions{})
	_, bound := admission.ValidatingAdmissionPolicyBindings().Create(ctx, binding, metav1.CreateOptions{})
	return errors.Join(err, bound)
}

// trustAny takes it back, and minds nothing that is missing: the spec may have ended early.
func trustAny(ctx context.Context, c kubernetes.Interface) error {
	admission, now := c.AdmissionregistrationV1(), metav1.DeleteOptions{}
	return errors.Join(
		present(admission.ValidatingAdmissionPolicyBindings().Delete(ctx, only, now)),
		present(admission.ValidatingAdmissionPolicies().Delete(ctx, only, now)),
	)
}
