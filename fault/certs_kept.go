package fault

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/util/cert"

	"faultline/clusters"
)

// Use is what a component has a certificate for.
type Use string

// The uses.
const (
	// ServingCertificate is what API servers and etcd show to clients. An etcd beside the
	// cluster also shows it to its peers.
	ServingCertificate Use = "serving"
	// PeerCertificate is what the members of etcd show to each other.
	PeerCertificate Use = "peer"
	// ClientCertificate is what the kubelet, the scheduler and the controller manager show
	// to the API, and what the API server shows to etcd.
	ClientCertificate Use = "client"
	// KubeletClientCertificate is what the API server shows to kubelets.
	KubeletClientCertificate Use = "kubelet client"
)

// kubeletPort is where kubelets answer API servers.
const kubeletPort = "10250"

// Where kubeadm keeps certificates.
const (
	pki             = "/etc/kubernetes/pki/"
	clusterCA       = pki + "ca"
	etcdCA          = pki + "etcd/ca"
	kubeletIdentity = "/var/lib/kubelet/pki/kubelet-client-current.pem"
	kubeletConfig   = "/etc/kubernetes/kubelet.conf"
)

// keeping is how a certificate is kept on a node, and by whom it is checked.
type keeping struct {
	node *clusters.Node
	// file has the certificate and key the private key, which may be the same file: a
	// kubeconfig, or in PEM.
	file, key string
	// authority is the path of the authority's certificate and key without their endings.
	authority string
	// restarts is whom to kill so that nothing goes on with what was before; reloads: it
	// would read the file by itself.
	restarts processes
	reloads  bool
	// server is who has to accept a client's certificate, the URL of something that the
	// client may read; empty: it is the server's own, and shown on the address.
	server, address string
}

// processes are those of a name that have the number of a copy, a pattern of the shell.
type processes struct{ name, copies string }

// commOf is the name by which the kernel knows the component, at most 15 bytes.
func commOf(c clusters.Component) string { return string(c)[:min(len(c), 15)] }

// keptFor says how the certificate of an instance is kept.
func keptFor(ctx context.Context, i clusters.Instance, use Use) (keeping, error) {
	k := keeping{node: i.Node, restarts: processes{commOf(i.Component), "*"}}
	separate := func(file, authority string, port int) keeping {
		k.file, k.key, k.authority, k.reloads = pki+file+".crt", pki+file+".key", authority, true
		k.address = net.JoinHostPort(i.Node.Address, strconv.Itoa(port))
		return k
	}
	switch {
	case use == ServingCertificate && i.Component == clusters.APIServer:
		return separate("apiserver", clusterCA, i.Port()), nil
	case use == ServingCertificate && i.Component == clusters.Etcd && i.Static():
		return separate("etcd/server", etcdCA, i.Port()), nil
	case use == ServingCertificate && i.Component == clusters.Etcd:
		// Its peers see the same, and clients nothing from a member that its peers refuse.
		return separate("etcd/server", etcdCA, i.Port()+1), nil
	case use == PeerCertificate && i.Component == clusters.Etcd && i.Static():
		return separate("etcd/peer", etcdCA, i.Port()+1), nil
	case use == PeerCertificate && i.Component == clusters.Etcd:
		return k, fmt.Errorf("%s shows its peers what it shows clients: name the serving certificate", i)
	case use == ClientCertificate && i.Component == clusters.APIServer:
		k = separate("apiserver-etcd-client", etcdCA, 0)
		k.reloads = false // a client that waits to try again may wait for two minutes
		return k.checkedBy(ctx, `sed -n 's/^ *- --etcd-servers=\([^,]*\).*/\1/p' "$1"`, i.Manifest(), "/health")
	case use == KubeletClientCertificate && i.Component == clusters.APIServer:
		k = separate("apiserver-kubelet-client", clusterCA, 0)
		k.reloads = false // it looks at the file every five minutes
		k.server = "https://" + net.JoinHostPort(i.Node.Address, kubeletPort) + "/healthz"
		return k, nil
	case use == ClientCertificate && i.Component.Elected():
		k.file, k.key, k.authority = i.Kubeconfig(), i.Kubeconfig(), clusterCA
		k.restarts.copies = ""
		if i.Copy > 0 {
			k.restarts.copies = strconv.Itoa(i.Copy)
		}
		return k.checkedBy(ctx, serverScript, i.Kubeconfig(), "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/"+string(i.Component))
	case use == ClientCertificate && i.Component == clusters.Kubelet:
		k.file, k.key, k.authority = kubeletIdentity, kubeletIdentity, clusterCA
		return k.checkedBy(ctx, serverScript, kubeletConfig, "/api/v1/nodes/"+i.Node.Name)
	}
	return k, fmt.Errorf("%s has no %s certificate", i, use)
}

// serverScript prints the URL of the API in the kubeconfig $1.
const serverScript = `sed -n 's/^ *server: *//p' "$1"`

// checkedBy finds the server of a client in one of its files.
func (k keeping) checkedBy(ctx context.Context, script, file, path string) (keeping, error) {
	out, err := k.node.Exec(ctx, command(script, file)...)
	server := strings.TrimSpace(string(out))
	if err == nil && server == "" {
		err = errors.New("it names none")
	}
	if err != nil {
		return k, fmt.Errorf("look for the server of %s in %s on %s: %w", k.file, file, k.node.Name, err)
	}
	k.server = server + path
	return k, nil
}

func (k keeping) kubeconfig() bool { return strings.HasSuffix(k.file, ".conf") }

// readScript prints the certificates in the file $1.
const readScript = `case "$1" in
  *.conf) sed -n 's/^ *client-certificate-data: *//p' "$1" | base64 -d ;;
  *) sed -n '/-BEGIN CERTIFICATE-/,/-END CERTIFICATE-/p' "$1" ;;
esac`

// read is the certificate as the file has it now.
func (k keeping) read(ctx context.Context) (*x509.Certificate, error) {
	return readCertificate(ctx, k.node, k.file)
}

func readCertificate(ctx context.Context, n *clusters.Node, file string) (*x509.Certificate, error) {
	out, err := n.Exec(ctx, command(readScript, file)...)
	if err != nil {
		return nil, fmt.Errorf("read the certificate in %s on %s: %w", file, n.Name, err)
	}
	c, err := parseCertificate(out)
	if err != nil {
		return nil, fmt.Errorf("the certificate in %s on %s: %w", file, n.Name, err)
	}
	return c, nil
}

// parseCertificate is the first certificate in PEM.
func parseCertificate(text []byte) (*x509.Certificate, error) {
	all, err := cert.ParseCertsPEM(text)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// replacing is the filter that puts another certificate into the file.
func (k keeping) replacing(certificate []byte) []string {
	switch {
	case k.kubeconfig():
		data := base64.StdEncoding.EncodeToString(certificate)
		return []string{"sed", `s|^\( *client-certificate-data: \).*|\1` + data + "|"}
	case k.file == k.key:
		return command(`printf %s "$1"; sed -n '/-BEGIN .*PRIVATE KEY-/,/-END .*PRIVATE KEY-/p'`, string(certificate))
	default:
		return []string{"printf", "%s", string(certificate)}
	}
}

// withoutKey is the filter that takes the key away; none takes the file.
func (k keeping) withoutKey() []string {
	switch {
	case k.kubeconfig():
		return []string{"sed", "/^ *client-key-data: /d"}
	case k.file == k.key:
		return []string{"sed", "/-BEGIN .*PRIVATE KEY-/,/-END .*PRIVATE KEY-/d"}
	default:
		return nil
	}
}

// hasKeyScript tells whether the file $1 has a private key.
const hasKeyScript = `if grep -qs -e '-BEGIN .*PRIVATE KEY-' -e '^ *client-key-data: ' "$1"; then echo yes; else echo no; fi`

func (k keeping) hasKey(ctx context.Context) (bool, error) {
	out, err := k.node.Exec(ctx, command(hasKeyScript, k.key)...)
	return strings.TrimSpace(string(out)) == "yes", err
}

// mustBeGood refuses a certificate that is broken already.
func (k keeping) mustBeGood(ctx context.Context) error {
	there, err := k.hasKey(ctx)
	if err != nil {
		return fmt.Errorf("look for the key in %s on %s: %w", k.key, k.node.Name, err)
	}
	if !there {
		return fmt.Errorf("%w: %s has no private key in %s", clusters.ErrUnsupported, k.node.Name, k.key)
	}
	got, err := k.judge(ctx)
	if err != nil {
		return fmt.Errorf("look whether %s on %s is accepted: %w", k.file, k.node.Name, err)
	}
	if got != accepted {
		return fmt.Errorf("%s on %s is %s already, so there is nothing to break", k.file, k.node.Name, got)
	}
	return nil
}

// recovered waits until the process stays and the certificate is accepted.
func (k keeping) recovered(ctx context.Context, i clusters.Instance) (time.Time, error) {
	since, err := stays(i)(ctx)
	if err != nil {
		return since, err
	}
	err = clusters.Await(ctx, healingPoll, k.file+" to be accepted", func(ctx context.Context) error {
		got, err := k.judge(ctx)
		if err == nil && got != accepted {
			err = fmt.Errorf("it is %s", got)
		}
		if err != nil {
			since = time.Now()
		}
		return err
	})
	return since, err
}
