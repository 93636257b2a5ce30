package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// gateway is etcd's JSON gateway with one key. It forgets what it is told to keep.
func gateway(t *testing.T, forgets *atomic.Bool) *httptest.Server {
	t.Helper()
	kept := keyValue{Key: []byte("k"), Value: []byte("old")}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v3/kv/put", func(_ http.ResponseWriter, r *http.Request) {
		if !forgets.Load() {
			_ = json.NewDecoder(r.Body).Decode(&kept)
		}
	})
	mux.HandleFunc("POST /v3/kv/range", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"kvs": []keyValue{kept}})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func TestDatabaseRound(t *testing.T) {
	var forgets atomic.Bool
	server := gateway(t, &forgets)
	d := newDatabase(server.URL, server.Client())
	if err := d.round(t.Context()); err != nil {
		t.Error(err)
	}
	forgets.Store(true)
	if err := d.round(t.Context()); err == nil || !strings.Contains(err.Error(), "not the value") {
		t.Errorf("a database that forgets passed: %v", err)
	}
	server.Close()
	if err := d.round(t.Context()); err == nil {
		t.Error("a database that is gone passed")
	}
}

func TestDatabaseHealth(t *testing.T) {
	d := newDatabase("", nil)
	ask := func() int {
		answer := httptest.NewRecorder()
		d.tell(answer, httptest.NewRequest("GET", "/healthz", nil))
		return answer.Code
	}
	if ask() != http.StatusServiceUnavailable {
		t.Error("healthy before the first round")
	}
	d.failure.Store("")
	if ask() != http.StatusOK {
		t.Error("unhealthy after a good round")
	}
	d.failure.Store("refused")
	if ask() != http.StatusServiceUnavailable {
		t.Error("healthy after a bad round")
	}
}

func TestDatabaseNeedsCertificates(t *testing.T) {
	if err := run(t.Context(), []string{"database", "-certs", t.TempDir()}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}
