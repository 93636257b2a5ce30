package clusters

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// built is a cluster of one master whose node says what a shell is asked for.
func built(name, address string, says map[string]string) *Cluster {
	c := &Cluster{Name: name, Topology: SingleHostMinimal(), Nodes: []*Node{{Name: name + "-control-plane", Host: "h1", Role: ControlPlane, Address: address}}}
	c.Reach(func(_ context.Context, _ string, _ io.Reader, argv ...string) ([]byte, error) {
		for word, text := range says {
			if strings.Contains(strings.Join(argv, " "), word) {
				return []byte(text), nil
			}
		}
		return nil, nil
	})
	return c
}

func TestFingerprintHasNoNamesOfItsOwn(t *testing.T) {
	lines := func(name, address, more string) []string {
		c := built(name, address, map[string]string{
			"ps":        "Ss /usr/local/bin/kubelet --node-ip=" + address + " --hostname-override=" + name + "-control-plane\nSsl etcd --listen-peer-urls=https://" + address + ":2380 --initial-cluster=" + name + more,
			"manifests": "etcd.yaml:    image: etcd:3\n",
		})
		flags, err := c.Nodes[0].flags(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pods, err := c.Nodes[0].staticPods(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		anonymous := c.anonymizer()
		var all []string
		for _, line := range slices.Concat(flags, pods) {
			all = append(all, anonymous(line))
		}
		slices.Sort(all)
		return all
	}
	first, second := lines("faultline-a-1", "172.18.0.1", ""), lines("faultline-a-2", "172.18.0.12", "")
	if changes := Changes(first, second); len(changes) > 0 {
		t.Errorf("the same layout differs: %q", changes)
	}
	for _, want := range []string{
		"cluster-control-plane: kubelet has --node-ip=address-of-cluster-control-plane",
		"cluster-control-plane: etcd has --listen-peer-urls=https://address-of-cluster-control-plane:2380",
		"cluster-control-plane: 1 processes of etcd", "cluster-control-plane: 0 processes of kube-apiserver",
		"cluster-control-plane: static pod etcd.yaml: image: etcd:3",
	} {
		if !slices.Contains(first, want) {
			t.Errorf("%q is not in %q", want, first)
		}
	}
	want := []string{"+ cluster-control-plane: etcd has --v=1"}
	if changes := Changes(first, lines("faultline-a-2", "172.18.0.12", " --v=1")); !slices.Equal(changes, want) {
		t.Errorf("got %q, want %q", changes, want)
	}
}

func TestFingerprintOfACertificate(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kube-apiserver"},
		DNSNames: []string{"kubernetes"}, IPAddresses: []net.IP{net.ParseIP("172.18.0.2")},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	n := built("c", "172.18.0.2", map[string]string{"pki": "file /etc/kubernetes/pki/apiserver.crt\n" + text}).Nodes[0]
	lines, err := n.certificates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const path = "c-control-plane: certificate /etc/kubernetes/pki/apiserver.crt "
	if len(lines) != 3 || !strings.HasPrefix(lines[0], path+"of CN=kube-apiserver, issued by CN=kube-apiserver") ||
		!slices.Equal(lines[1:], []string{path + "is for kubernetes", path + "is for 172.18.0.2"}) {
		t.Errorf("got %q", lines)
	}
	n = built("c", "172.18.0.2", map[string]string{"pki": "file /etc/kubernetes/pki/apiserver.crt\nno certificate\n"}).Nodes[0]
	if _, err := n.certificates(t.Context()); err == nil {
		t.Error("a file without a certificate passes")
	}
}

func TestFingerprintOfANode(t *testing.T) {
	n := corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"b": "2", "a": "1"}},
		Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: "t", Effect: corev1.TaintEffectNoSchedule}}},
	}
	if line := nodeLine(n); !strings.Contains(line, "labels [a=1 b=2], taints [t:NoSchedule]") {
		t.Errorf("got %q", line)
	}
}
