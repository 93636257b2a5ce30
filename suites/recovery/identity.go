package recovery

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/transport"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// Whoever asks the API server is a client's configuration, which stays in this process.

// administrator is who the master's kubeconfig is for.
func administrator(ctx context.Context, d *Drill) *rest.Config {
	GinkgoHelper()
	config, err := clientcmd.RESTConfigFromKubeConfig(read(ctx, d, "admin.conf"))
	Expect(err).NotTo(HaveOccurred())
	return config
}

// trusting is a client that trusts another authority.
func trusting(who *rest.Config, authority []byte) *rest.Config {
	other := rest.CopyConfig(who)
	other.CAData = authority
	return other
}

// credulous is a client that does not look at the server's certificate.
func credulous(who *rest.Config) *rest.Config {
	other := trusting(who, nil)
	other.Insecure = true
	return other
}

// serviceAccount is a client with a new token.
func serviceAccount(ctx context.Context, d *Drill) *rest.Config {
	GinkgoHelper()
	client, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	issued, err := client.CoreV1().ServiceAccounts(Namespace).CreateToken(ctx, "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	who := rest.AnonymousClientConfig(d.RESTConfig(d.Front()))
	who.BearerToken = issued.Status.Token
	return who
}

// proxy is the front proxy, asking for somebody else.
func proxy(ctx context.Context, d *Drill) *rest.Config {
	GinkgoHelper()
	who := rest.AnonymousClientConfig(d.RESTConfig(d.Front()))
	who.CertData, who.KeyData = read(ctx, d, "pki/front-proxy-client.crt"), read(ctx, d, "pki/front-proxy-client.key")
	who.Wrap(func(rt http.RoundTripper) http.RoundTripper {
		return transport.NewAuthProxyRoundTripper("somebody", "", nil, nil, rt)
	})
	return who
}

// read is a file of the master's, below /etc/kubernetes.
func read(ctx context.Context, d *Drill, path string) []byte {
	GinkgoHelper()
	content, err := d.With(clusters.ControlPlane)[0].Exec(ctx, "cat", "/etc/kubernetes/"+path)
	Expect(err).NotTo(HaveOccurred())
	return content
}

// answered fails unless the API server answers somebody with a status, asked for what everybody
// may read whom it knows.
func answered(who *rest.Config, want int) Request {
	return func(ctx context.Context, _ kubernetes.Interface) error {
		status, err := ask(ctx, who)
		return Unless(status == want, errors.Join(fmt.Errorf("the status of the answer is %d", status), err))
	}
}

// answeredByAStranger fails unless somebody refuses to talk to the API server, because an
// unknown authority has signed its certificate.
func answeredByAStranger(who *rest.Config) Request {
	return func(ctx context.Context, _ kubernetes.Interface) error {
		status, err := ask(ctx, who)
		_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
		return Unless(unknown, errors.Join(fmt.Errorf("the status of the answer is %d", status), err))
	}
}

// ask returns the status of an answer, 0 where there is none.
func ask(ctx context.Context, who *rest.Config) (status int, err error) {
	client, err := kubernetes.NewForConfig(who)
	if err != nil {
		return 0, err
	}
	err = client.Discovery().RESTClient().Get().AbsPath("/api").Do(ctx).StatusCode(&status).Error()
	return status, err
}
