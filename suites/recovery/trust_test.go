package recovery

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	"faultline/suites/drill"
)

// signer makes an authority and a front proxy that it has signed. All authorities have the same
// name, as kubeadm's have.
func signer(t *testing.T) (authority string, signed *rest.Config) {
	t.Helper()
	ca := issued(t, "authority", nil, time.Hour)
	authority, _ = ca.texts(t)
	proxy, _ := issued(t, "proxy", &ca, time.Hour).texts(t)
	return authority, &rest.Config{TLSClientConfig: rest.TLSClientConfig{CertData: []byte(proxy)}}
}

func namedIs(data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namedNamespace, Name: named}, Data: data}
}

func TestWhomTheAPIVouchesFor(t *testing.T) {
	old, oldProxy := signer(t)
	young, youngProxy := signer(t)
	for name, c := range map[string]struct {
		named   string
		proxies []*rest.Config
		want    bool
	}{
		"its own":                         {old, []*rest.Config{oldProxy}, true},
		"another's":                       {old, []*rest.Config{youngProxy}, false},
		"both":                            {old + young, []*rest.Config{oldProxy, youngProxy}, true},
		"one that is not named of two":    {young, []*rest.Config{oldProxy, youngProxy}, false},
		"nobody's":                        {"", []*rest.Config{oldProxy}, false},
		"who has no certificate to check": {old, []*rest.Config{{}}, false},
	} {
		client := fake.NewClientset(namedIs(map[string]string{namedProxies: c.named}))
		if err := vouchesFor(c.proxies...)(t.Context(), client); (err == nil) != c.want {
			t.Errorf("%s: %v, want success %t", name, err, c.want)
		}
	}
	if vouchesFor()(t.Context(), fake.NewClientset()) == nil {
		t.Error("nothing is named, and that vouches for all")
	}
}

func TestNames(t *testing.T) {
	client := fake.NewClientset(namedIs(map[string]string{namedProxies: "a"}))
	for name, c := range map[string]struct {
		want  map[string]string
		holds bool
	}{
		"the same":    {map[string]string{namedProxies: "a"}, true},
		"one more":    {map[string]string{namedProxies: "ab"}, false},
		"another key": {map[string]string{"client-ca-file": "a"}, false},
	} {
		if err := names(c.want)(t.Context(), client); (err == nil) != c.holds {
			t.Errorf("%s: %v, want success %t", name, err, c.holds)
		}
	}
	if names(nil)(t.Context(), fake.NewClientset()) == nil {
		t.Error("there is nothing, and it is called the same")
	}
}

func TestPublished(t *testing.T) {
	client := fake.NewClientset(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: drill.Namespace, Name: "kube-root-ca.crt"}, Data: map[string]string{"ca.crt": "saved\n"},
	})
	for authority, want := range map[string]bool{"saved": true, "another": false} {
		if err := published([]byte(authority))(t.Context(), client); (err == nil) != want {
			t.Errorf("%s: %v, want success %t", authority, err, want)
		}
	}
}
