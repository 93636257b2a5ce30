package components

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509/pkix"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/cert"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
)

var _ = Describe("Without a controller manager new namespaces", Topology("single-host-minimal"), Component(clusters.ControllerManager), Core, func() {
	It("have no identity, so that no pod can be made in them, and a new kubelet gets no certificate", Claims("KCM-03"), func(ctx SpecContext) {
		d := On(ctx, "single-host-minimal")
		d.Inject(fault.Stop(d.Instances(clusters.ControllerManager)...).Losing(clusters.ControllerManager))

		Expect(d.Attempt("create a namespace", createShortNamespace)).To(BeAccepted())
		Expect(d.Attempt("create a pod in it", podInShortNamespace)).To(BeRejected(`serviceaccount "default" not found`))
		Expect(d.Attempt("ask for a kubelet's certificate", askForCertificate)).To(BeAccepted())
		d.Afterwards(forgetRequest)
		Expect(d.StaysTrueFor("nobody gives either an identity", d.Timing.ControlLoops().Upper, nobody(identity))).To(Succeed())

		d.Undo()
		for _, loop := range identity {
			Expect(d.BecomesTrue("somebody "+loop.name, d.Timing.ControlPlaneReturn(d.Outage()), loop.done)).To(Succeed())
		}
		Expect(d.Attempt("create a pod in it", podInShortNamespace)).To(BeAccepted())
		Expect(d.Attempt("delete the namespace", deleteShortNamespace)).To(BeAccepted())
		Expect(d.BecomesTrue("somebody "+endOfNamespace.name, d.Timing.Binding(), endOfNamespace.done)).To(Succeed())
	})
})

// identity is what pods in a new namespace need, and a new kubelet.
var identity = []loop{
	{"gives it a service account", func(ctx context.Context, c kubernetes.Interface) (bool, string, error) {
		_, err := c.CoreV1().ServiceAccounts(shortNamespace).Get(ctx, "default", metav1.GetOptions{})
		return found(err)
	}},
	{"gives it the cluster's root certificate", func(ctx context.Context, c kubernetes.Interface) (bool, string, error) {
		_, err := c.CoreV1().ConfigMaps(shortNamespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return found(err)
	}},
	{"signs the kubelet's certificate", func(ctx context.Context, c kubernetes.Interface) (bool, string, error) {
		request, err := c.CertificatesV1().CertificateSigningRequests().Get(ctx, newcomer, metav1.GetOptions{})
		if err != nil {
			return found(err)
		}
		return len(request.Status.Certificate) > 0, fmt.Sprintf("the request's conditions are %v", request.Status.Conditions), nil
	}},
}

func podInShortNamespace(ctx context.Context, c kubernetes.Interface) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "attempt-"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{IdleContainer()}},
	}
	_, err := c.CoreV1().Pods(shortNamespace).Create(ctx, pod, metav1.CreateOptions{})
	return err
}

// newcomer is a node that there is not.
const newcomer = "attempt-newcomer"

// askForCertificate asks for that of a kubelet. The controller manager approves of it by itself,
// because who asks may make nodes, and then signs it.
func askForCertificate(ctx context.Context, c kubernetes.Interface) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	text, err := cert.MakeCSR(key, &pkix.Name{Organization: []string{"system:nodes"}, CommonName: "system:node:" + newcomer}, nil, nil)
	if err != nil {
		return err
	}
	request := &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: newcomer},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: text, SignerName: certificatesv1.KubeAPIServerClientKubeletSignerName,
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
		},
	}
	_, err = c.CertificatesV1().CertificateSigningRequests().Create(ctx, request, metav1.CreateOptions{})
	return err
}

func forgetRequest(ctx context.Context, c kubernetes.Interface) error {
	return c.CertificatesV1().CertificateSigningRequests().Delete(ctx, newcomer, metav1.DeleteOptions{})
}
