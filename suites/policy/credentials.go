package policy

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// What a kubelet talks to the API with, on its node.
const (
	kubeletConfig      = "/etc/kubernetes/kubelet.conf"
	kubeletCertificate = "/var/lib/kubelet/pki/kubelet-client-current.pem"
)

// steal reads a kubelet's credentials on its node. They are never written anywhere.
func steal(ctx context.Context, n *clusters.Node) (subjects, error) {
	config, err := n.Exec(ctx, "cat", kubeletConfig)
	if err != nil {
		return nil, err
	}
	certificate, err := n.Exec(ctx, "cat", kubeletCertificate)
	if err != nil {
		return nil, err
	}
	loaded, err := credentials(config, certificate)
	if err != nil {
		return nil, fmt.Errorf("the credentials of the kubelet on %s: %w", n.Name, err)
	}
	return subjects{kubelet: func(e clusters.Endpoint) *rest.Config {
		direct := rest.CopyConfig(loaded)
		direct.Host, direct.ServerName = "https://"+e.Address, clusters.ServerName
		return direct
	}}, nil
}

// credentials joins a kubelet's kubeconfig with the file that it names, in which are both
// certificate and key.
func credentials(config, certificate []byte) (*rest.Config, error) {
	file, err := clientcmd.Load(config)
	if err != nil {
		return nil, err
	}
	for _, user := range file.AuthInfos {
		user.ClientCertificate, user.ClientCertificateData = "", certificate
		user.ClientKey, user.ClientKeyData = "", certificate
	}
	return clientcmd.NewDefaultClientConfig(*file, &clientcmd.ConfigOverrides{}).ClientConfig()
}

// uidOf is the identity of a node's object, which its mirror pods have to name.
func uidOf(ctx context.Context, d *Drill, n *clusters.Node) types.UID {
	GinkgoHelper()
	client, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	node, err := client.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	return node.UID
}
