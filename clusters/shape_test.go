package clusters

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

func TestAnAPIServerThatIsNotReadyTellsWhy(t *testing.T) {
	answer := "[+]ping ok\n[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\n" + strings.Repeat("[+]x ok\n", 50) + "readyz check failed"
	status := http.StatusInternalServerError
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	defer server.Close()
	c := &Cluster{config: &rest.Config{TLSClientConfig: rest.TLSClientConfig{Insecure: true}}}
	e := Endpoint{Name: "n1", Address: server.Listener.Addr().String()}
	want := "is not ready: [-]poststarthook/rbac/bootstrap-roles failed: reason withheld; readyz check failed"
	if err := c.checkReady(t.Context(), e); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	answer = "no checks"
	if err := c.checkReady(t.Context(), e); err == nil || !strings.Contains(err.Error(), "n1") {
		t.Errorf("without checks: got %v", err)
	}
	status, answer = http.StatusOK, "ok"
	if err := c.checkReady(t.Context(), e); err != nil {
		t.Errorf("ready: got %v", err)
	}
	server.Close()
	if err := c.checkReady(t.Context(), e); err == nil {
		t.Error("a server that is gone was called ready")
	}
}
