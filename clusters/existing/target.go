// Package existing adopts a cluster that somebody else made: it discovers the layout of a
// kubeadm-style control plane through its API, and opens a way to run commands on its nodes.
// It reads one kubeconfig and one context of it, both named by the user, and no other.
package existing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// requestTime limits one request of discovery.
const requestTime = 15 * time.Second

// Target is somebody's cluster.
type Target struct {
	// Name is the context's name.
	Name   string
	config *rest.Config
	client kubernetes.Interface
}

// Open reads the context of the kubeconfig. Nothing is sent yet. Neither has a default: the
// kubeconfig that happens to be current in a shell is never taken.
func Open(kubeconfig, contextName string) (*Target, error) {
	if kubeconfig == "" || contextName == "" {
		return nil, errors.New("name the kubeconfig and the context of the cluster; neither has a default, lest the wrong one is hit")
	}
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: contextName}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("context %q of %s: %w", contextName, kubeconfig, err)
	}
	if config.Insecure || len(config.CAData) == 0 && config.CAFile == "" {
		return nil, fmt.Errorf("context %q of %s names no certificate authority: without it nobody knows which cluster answers", contextName, kubeconfig)
	}
	if err := rest.LoadTLSFiles(config); err != nil {
		return nil, fmt.Errorf("context %q of %s: %w", contextName, kubeconfig, err)
	}
	config.UserAgent = "faultline"
	config.Timeout = requestTime
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("context %q of %s: %w", contextName, kubeconfig, err)
	}
	return &Target{Name: contextName, config: config, client: client}, nil
}

// Client talks to the cluster as its kubeconfig says.
func (t *Target) Client() kubernetes.Interface { return t.client }

// Identity tells clusters apart.
type Identity struct {
	// Server is the API's address in the kubeconfig.
	Server string
	// CA is the digest of the authority that the server's certificate was verified with, as
	// sha256:<hex>.
	CA string
	// UID is that of the namespace kube-system, which lives as long as the cluster.
	UID string
}

// Identity asks the cluster who it is.
func (t *Target) Identity(ctx context.Context) (Identity, error) {
	block, _ := pem.Decode(t.config.CAData)
	if block == nil {
		return Identity{}, fmt.Errorf("the certificate authority of context %q is no PEM certificate", t.Name)
	}
	digest := sha256.Sum256(block.Bytes)
	system, err := t.client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return Identity{}, fmt.Errorf("the cluster of context %q at %s does not say who it is: %w", t.Name, t.config.Host, err)
	}
	return Identity{Server: t.config.Host, CA: "sha256:" + hex.EncodeToString(digest[:]), UID: string(system.UID)}, nil
}

// ConfigMap reads a config map; its resource version and UID tell when it is another one.
func (t *Target) ConfigMap(ctx context.Context, namespace, name string) (*corev1.ConfigMap, error) {
	return t.client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
}

// serverAddress is the host:port of the API in the kubeconfig.
func (t *Target) serverAddress() (string, error) {
	u, err := url.Parse(t.config.Host)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("the server %q of context %q is no URL", t.config.Host, t.Name)
	}
	if u.Port() == "" {
		return u.Host + ":443", nil
	}
	return u.Host, nil
}
