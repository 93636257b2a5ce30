package existing

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const kubeconfig = `apiVersion: v1
kind: Config
current-context: production
contexts:
- {name: production, context: {cluster: safe, user: me}}
- {name: staging, context: {cluster: safe, user: me}}
- {name: other, context: {cluster: foreign, user: me}}
- {name: blind, context: {cluster: insecure, user: me}}
- {name: open, context: {cluster: bare, user: me}}
clusters:
- {name: safe, cluster: {server: "%[1]s", certificate-authority-data: %[2]s}}
- {name: foreign, cluster: {server: "%[1]s", certificate-authority-data: %[3]s}}
- {name: insecure, cluster: {server: "%[1]s", insecure-skip-tls-verify: true}}
- {name: bare, cluster: {server: "%[1]s"}}
users:
- {name: me, user: {token: x}}
`

// written is a kubeconfig for a server that says who it is.
func written(t *testing.T) (path, server string) {
	t.Helper()
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-system","uid":"u-1"}}`)
	}))
	t.Cleanup(api.Close)
	encode := func(der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	path = filepath.Join(t.TempDir(), "kubeconfig")
	foreign := encode(otherAuthority(t))
	if err := os.WriteFile(path, fmt.Appendf(nil, kubeconfig, api.URL, encode(api.Certificate().Raw), foreign), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, api.URL
}

func TestOpenNeedsBothNames(t *testing.T) {
	path, server := written(t)
	t.Setenv("KUBECONFIG", path) // the ambient one, which nobody asks for
	for _, test := range []struct{ kubeconfig, context, want string }{
		{"", "staging", "neither has a default"},
		{path, "", "neither has a default"},
		{path, "nowhere", `"nowhere"`},
		{path + "x", "staging", "no such file"},
		{path, "blind", "no certificate authority"},
		{path, "open", "no certificate authority"},
	} {
		if _, err := Open(test.kubeconfig, test.context); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q, %q: %v, want %q", test.kubeconfig, test.context, err, test.want)
		}
	}
	target, err := Open(path, "staging")
	if err != nil {
		t.Fatal(err)
	}
	if address, err := target.serverAddress(); err != nil || "https://"+address != server {
		t.Errorf("server %q, %v, want that of %s", address, err, server)
	}
}

func TestIdentity(t *testing.T) {
	path, server := written(t)
	target, err := Open(path, "staging")
	if err != nil {
		t.Fatal(err)
	}
	who, err := target.Identity(t.Context())
	if err != nil || who.UID != "u-1" || who.Server != server || !strings.HasPrefix(who.CA, "sha256:") || len(who.CA) != 71 {
		t.Errorf("identity %+v, %v", who, err)
	}
	foreign, err := Open(path, "other")
	if err != nil {
		t.Fatal(err)
	}
	if who, err := foreign.Identity(t.Context()); err == nil {
		t.Errorf("a server that another authority vouches for is taken for %+v", who)
	}
}
