package existing

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/exec"
)

// kubelet is a node's agent, as the API names it.
type kubelet struct {
	Address string
	Port    int
	// Certificate is what it shows its clients, as PEM; empty until it is known.
	Certificate []byte
	// image is one that the node has.
	image string
}

// servingCertificate prints what the kubelet shows its clients: the certificate that the
// cluster signed, where it is told to ask for one, or its own.
const servingCertificate = `cd /var/lib/kubelet/pki && { cat kubelet-server-current.pem 2> /dev/null || cat kubelet.crt; } |
  sed -n '/BEGIN CERTIFICATE/,/END CERTIFICATE/p'`

// leaf is the certificate's first part.
func (k kubelet) leaf() (*x509.Certificate, error) {
	chain, err := cert.ParseCertsPEM(k.Certificate)
	if err != nil {
		return nil, fmt.Errorf("the certificate of the kubelet at %s: %w", k.Address, err)
	}
	leaf := chain[0]
	if len(leaf.DNSNames) == 0 {
		return nil, fmt.Errorf("the certificate of the kubelet at %s has no name", k.Address)
	}
	return leaf, nil
}

// direct reaches the kubelet itself, known by exactly its certificate. It shows it the
// administrator's own certificate: a token would go to nobody but the API, so that without a
// certificate there is no such way.
func (k kubelet) direct(admin *rest.Config) (*rest.Config, error) {
	leaf, err := k.leaf()
	if err != nil {
		return nil, err
	}
	if len(admin.CertData) == 0 {
		return nil, errors.New("the kubeconfig has no client certificate")
	}
	return &rest.Config{
		Host: "https://" + net.JoinHostPort(k.Address, strconv.Itoa(k.Port)),
		TLSClientConfig: rest.TLSClientConfig{
			ServerName: leaf.DNSNames[0], CAData: k.Certificate, CertData: admin.CertData, KeyData: admin.KeyData,
		},
	}, nil
}

// run runs a command in a pod: through the kubelet itself, which needs no API server, or
// else, where that has not begun, through the API.
func (k kubelet) run(ctx context.Context, t *Target, pod string, stdin io.Reader, argv []string) ([]byte, error) {
	config, err := k.direct(t.config)
	if err != nil {
		return k.throughAPI(ctx, t, pod, stdin, argv)
	}
	out, err := throughKubelet(ctx, config, pod, stdin, argv)
	if err != nil && stdin == nil && ctx.Err() == nil && neverBegan(err) {
		return k.throughAPI(ctx, t, pod, stdin, argv)
	}
	return out, err
}

// neverBegan tells whether the kubelet did not even accept the command.
func neverBegan(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) && network.Op == "dial" || strings.Contains(err.Error(), "unable to upgrade")
}

func throughKubelet(ctx context.Context, config *rest.Config, pod string, stdin io.Reader, argv []string) ([]byte, error) {
	u, err := url.Parse(config.Host)
	if err != nil {
		return nil, err
	}
	query := url.Values{"command": argv, "output": {"1"}, "error": {"1"}}
	if stdin != nil {
		query.Set("input", "1")
	}
	u.Path, u.RawQuery = "/exec/"+Namespace+"/"+pod+"/"+containerName, query.Encode()
	executor, err := remotecommand.NewSPDYExecutor(config, "POST", u)
	if err != nil {
		return nil, err
	}
	return stream(ctx, executor, stdin)
}

func (k kubelet) throughAPI(ctx context.Context, t *Target, pod string, stdin io.Reader, argv []string) ([]byte, error) {
	config := rest.CopyConfig(t.config)
	config.Timeout = 0 // of the whole command; ctx limits it
	request := t.client.CoreV1().RESTClient().Post().Namespace(Namespace).Resource("pods").Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: containerName, Command: argv, Stdin: stdin != nil, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewSPDYExecutor(config, "POST", request.URL())
	if err != nil {
		return nil, err
	}
	return stream(ctx, executor, stdin)
}

// stream runs the command to its end. Its error carries what the command said.
func stream(ctx context.Context, executor remotecommand.Executor, stdin io.Reader) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: &stdout, Stderr: &stderr})
	var exit exec.CodeExitError
	switch {
	case err == nil:
		return stdout.Bytes(), nil
	case errors.As(err, &exit):
		return nil, fmt.Errorf("exit status %d: %s", exit.Code, strings.TrimSpace(stderr.String()))
	default:
		return nil, err
	}
}
