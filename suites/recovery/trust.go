package recovery

import (
	"context"
	"crypto/x509"
	"fmt"
	"maps"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"

	. "faultline/suites/drill"
)

// named is the configmap in which the API names, to the servers behind it, the authorities of
// clients and of its front proxy. A server that starts adds its own to those that are there,
// and nobody takes one away before it has expired.
const (
	namedNamespace = "kube-system"
	named          = "extension-apiserver-authentication"
	namedProxies   = "requestheader-client-ca-file"
)

// namedAuthorities is what the API names now.
func namedAuthorities(ctx context.Context, d *Drill) map[string]string {
	GinkgoHelper()
	client, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	object, err := client.CoreV1().ConfigMaps(namedNamespace).Get(ctx, named, metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	return object.Data
}

// forget has the API name the authorities of before alone. The one in between is not to be
// trusted by anybody.
func forget(d *Drill, before map[string]string) {
	GinkgoHelper()
	Expect(d.Attempt("delete what the API names as authorities", func(ctx context.Context, c kubernetes.Interface) error {
		return c.CoreV1().ConfigMaps(namedNamespace).Delete(ctx, named, metav1.DeleteOptions{})
	})).To(BeAccepted())
	Expect(d.BecomesTrue("it names the saved ones alone", d.Timing.Noticed(), names(before))).To(Succeed())
}

// names fails unless the API names exactly these authorities.
func names(want map[string]string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		object, err := c.CoreV1().ConfigMaps(namedNamespace).Get(ctx, named, metav1.GetOptions{})
		return Unless(err == nil && maps.Equal(object.Data, want), err)
	}
}

// vouchesFor fails unless an authority that the API names has signed the certificate of each of
// these front proxies.
func vouchesFor(proxies ...*rest.Config) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		object, err := c.CoreV1().ConfigMaps(namedNamespace).Get(ctx, named, metav1.GetOptions{})
		if err != nil {
			return err
		}
		authorities := x509.NewCertPool()
		authorities.AppendCertsFromPEM([]byte(object.Data[namedProxies]))
		for _, p := range proxies {
			if err := signedBy(authorities, p.CertData); err != nil {
				return err
			}
		}
		return nil
	}
}

// signedBy fails unless one of the authorities has signed a certificate.
func signedBy(authorities *x509.CertPool, certificate []byte) error {
	chain, err := cert.ParseCertsPEM(certificate)
	if err != nil {
		return err
	}
	_, err = chain[0].Verify(x509.VerifyOptions{Roots: authorities, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

// published fails unless pods are told to trust exactly this authority.
func published(authority []byte) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		object, err := c.CoreV1().ConfigMaps(Namespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		if err == nil && strings.TrimSpace(object.Data["ca.crt"]) != strings.TrimSpace(string(authority)) {
			err = fmt.Errorf("they are told of another one: %.60q", object.Data["ca.crt"])
		}
		return err
	}
}
