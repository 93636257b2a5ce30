package engine

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
)

func TestSocketStatus(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "engine.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/containers/frozen/json":
			fmt.Fprint(w, `{"Id": "4f", "State": {"Status": "paused", "Running": true}}`)
		case "/containers/odd/json":
			fmt.Fprint(w, `{"State": {}}`)
		case "/containers/broken/json":
			fmt.Fprint(w, `{"State":`)
		default:
			http.Error(w, `{"message": "No such container"}`, http.StatusNotFound)
		}
	}))
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)

	if status, err := socketStatus(t.Context(), socket, "frozen"); status != "paused" || err != nil {
		t.Errorf("got %q, %v", status, err)
	}
	for _, container := range []string{"odd", "broken", "another", "../frozen"} {
		if status, err := socketStatus(t.Context(), socket, container); err == nil {
			t.Errorf("%s: got %q and no error", container, status)
		}
	}
	if _, err := socketStatus(t.Context(), socket+".none", "frozen"); err == nil {
		t.Error("nobody listens, and there was no error")
	}
}
