package policy

import (
	"errors"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"
)

var guest = invitation{token: "123456.0123456789abcdef", hash: "sha256:12"}

func TestInvitationsAreRead(t *testing.T) {
	const command = "kubeadm join n1:6443 --token 123456.0123456789abcdef --discovery-token-ca-cert-hash sha256:12 \n"
	if i, err := readInvitation(command); err != nil || i != guest || i.id() != "123456" {
		t.Errorf("%+v, %v", i, err)
	}
	for _, none := range []string{"", "--token", "kubeadm join n1:6443 --token a.b", "--token a --discovery-token-ca-cert-hash sha256:1", "--token a.b --discovery-token-ca-cert-hash 1"} {
		if _, err := readInvitation(none); err == nil {
			t.Errorf("%q is one", none)
		}
	}
}

// kubeadmConf is what kind leaves on a worker, in part.
const kubeadmConf = `apiVersion: kubeadm.k8s.io/v1beta4
bootstrapTokens:
- token: abcdef.0123456789abcdef
kind: InitConfiguration
---
apiVersion: kubeadm.k8s.io/v1beta4
discovery:
  bootstrapToken:
    apiServerEndpoint: n1:6443
    token: abcdef.0123456789abcdef
    unsafeSkipCAVerification: true
kind: JoinConfiguration
nodeRegistration:
  criSocket: unix:///run/containerd/containerd.sock
skipPhases:
- preflight
---
kind: KubeletConfiguration
`

func TestInvitationsReplaceWhatAMachineWouldJoinWith(t *testing.T) {
	text, err := guest.into([]byte(kubeadmConf), 90*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Kind      string
		Discovery struct{ BootstrapToken map[string]any }
		Timeouts  struct{ Discovery metav1.Duration }
		Skip      []string `json:"skipPhases"`
	}
	if err := yaml.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	bootstrap := got.Discovery.BootstrapToken
	hashes, _ := bootstrap["caCertHashes"].([]any)
	if got.Kind != "JoinConfiguration" || bootstrap["token"] != guest.token || len(hashes) != 1 || hashes[0] != guest.hash || bootstrap["apiServerEndpoint"] != "n1:6443" {
		t.Errorf("got %s", text)
	}
	if _, trusts := bootstrap["unsafeSkipCAVerification"]; trusts || got.Timeouts.Discovery.Duration != 90*time.Second || len(got.Skip) != 1 {
		t.Errorf("got %s", text)
	}
	for _, none := range []string{"kind: InitConfiguration", "no: [yaml"} {
		if _, err := guest.into([]byte(none), time.Second); err == nil {
			t.Errorf("%q is enough to join", none)
		}
	}
}

func TestWhoIsRefusedToJoin(t *testing.T) {
	for said, want := range map[string]bool{
		`could not find a JWS signature in the cluster-info ConfigMap for token ID "123456"`: true,
		"configmaps is forbidden: Unauthorized":                                              true,
		"connection refused":                                                                 false,
		"":                                                                                   false,
	} {
		var err error
		if said != "" {
			err = errors.New(said)
		}
		if got := refusedToJoin(err); (got == nil) != want {
			t.Errorf("%q: %v, want success %t", said, got, want)
		}
	}
}

func TestCertificatesAreIssuedToWhoBearsTheToken(t *testing.T) {
	request := func(token, condition, certificate string) *certificatesv1.CertificateSigningRequest {
		r := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: "csr"}}
		r.Spec.Username = "system:bootstrap:" + token
		r.Status.Certificate = []byte(certificate)
		r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.RequestConditionType(condition)}}
		return r
	}
	for name, c := range map[string]struct {
		request *certificatesv1.CertificateSigningRequest
		want    bool
	}{
		"issued":               {request("123456", "Approved", "certificate"), true},
		"issued to another":    {request("abcdef", "Approved", "certificate"), false},
		"approved only":        {request("123456", "Approved", ""), false},
		"denied":               {request("123456", "Denied", ""), false},
		"of a longer token ID": {request("1234567", "Approved", "certificate"), false},
	} {
		if err := guest.issued(t.Context(), fake.NewClientset(c.request)); (err == nil) != c.want {
			t.Errorf("%s: %v, want success %t", name, err, c.want)
		}
	}
}
