package policy

import (
	"context"
	"errors"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// Document A: Pod Security Policies should be used (A:L83).
var _ = Describe("What pods may do to their nodes", Topology(topology), Nightly, Component(clusters.APIServer), func() {
	It("is limited by a label of their namespace, since there are no Pod Security Policies any more", Claims("SEC-05"), func(ctx SpecContext) {
		PrivilegedPodsAreKeptOut(ctx, On(ctx, topology))
	})
})

// strict is a namespace for pods that keep to the standard named restricted.
const strict = "faultline-strict"

// PrivilegedPodsAreKeptOut is the experiment of SEC-05; sabotage runs use it too.
func PrivilegedPodsAreKeptOut(ctx context.Context, d *Drill) {
	GinkgoHelper()
	for _, e := range d.APIServers() {
		client, err := d.Client(e)
		Expect(err).NotTo(HaveOccurred())
		Expect(d.Told("through "+e.Name+" there are no Pod Security Policies", noPodSecurityPolicies(ctx, client))).To(Succeed())
	}
	makeNamespace(d, strict, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	theyAreKept(d, newRights(asAdministrator(d), byPodSecurity...))
	endNamespaces(d, strict)
	d.Drifted("Pod Security Policies are gone since 1.25; Pod Security Admission refuses by the label of a namespace")
}

// byPodSecurity is what admission grants whoever may create pods.
var byPodSecurity = []right{
	{who: administrator, demand: create("create a privileged pod in a restricted namespace", podsIn(strict), idlePod(privileged)), because: `violates PodSecurity "restricted:`},
	{who: administrator, demand: create("create a pod that keeps to the restrictions", podsIn(strict), idlePod(restricted)), granted: true},
	{who: administrator, demand: create("create a privileged pod in a namespace without the label", podsIn(Namespace), idlePod(privileged)), granted: true},
}

// noPodSecurityPolicies fails while the API has them, in the version that they had or in
// today's.
func noPodSecurityPolicies(_ context.Context, c kubernetes.Interface) error {
	switch _, err := c.Discovery().ServerResourcesForGroupVersion("policy/v1beta1"); {
	case err == nil:
		return errors.New("policy/v1beta1 is served")
	case !apierrors.IsNotFound(err):
		return err
	}
	today, err := c.Discovery().ServerResourcesForGroupVersion("policy/v1")
	if err != nil {
		return err
	}
	if slices.ContainsFunc(today.APIResources, func(r metav1.APIResource) bool { return r.Name == "podsecuritypolicies" }) {
		return errors.New("policy/v1 has them")
	}
	return nil
}
