package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"faultline/suites/rundir"
)

func TestLiveReportGrows(t *testing.T) {
	dir := rundir.Dir{Run: "r", Results: t.TempDir()}
	if err := os.MkdirAll(dir.Experiments(), 0o755); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(liveReport(dir, time.Now()))
	defer server.Close()
	page := func() string {
		answer, err := http.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		if answer.StatusCode != http.StatusOK || answer.Header.Get("Refresh") == "" {
			t.Errorf("got %s, %v", answer.Status, answer.Header)
		}
		return string(body)
	}
	const name = "absorbs the loss of its leader"
	if strings.Contains(page(), name) {
		t.Error("an experiment that has not ended is there")
	}
	experiment := `{"id":"e101","name":"` + name + `","topology":"bare-etcd-3","verdict":"held"}`
	if err := os.WriteFile(filepath.Join(dir.Experiments(), "e101.json"), []byte(experiment), 0o600); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(page(), name) {
		t.Error("an experiment that has ended is missing")
	}
}

func TestLiveReportIsForThisMachineOnly(t *testing.T) {
	for text, want := range map[string]string{"": "", "0": "", "1": "127.0.0.1:0", "127.0.0.1:8080": "127.0.0.1:8080", "[::1]:80": "[::1]:80", "localhost:80": "127.0.0.1:80"} {
		if got, err := liveAddress(text); err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"0.0.0.0:8080", ":8080", "yes", "10.0.0.1:80", "127.0.0.1:99999", "127.0.0.1:http"} {
		if got, err := liveAddress(text); err == nil {
			t.Errorf("%q is listened on as %q", text, got)
		}
	}
}

// Evidence holds what nodes and pods have written, and other sites may know this machine's ports.
func TestLiveReportObeysNobody(t *testing.T) {
	dir := rundir.Dir{Run: "r", Results: t.TempDir()}
	log := filepath.Join(dir.Evidence("e101"), "pod.html")
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(log, []byte("<script>alert(1)</script>"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path, host, origin string
		status             int
		kind               string
	}{
		{"/", "127.0.0.1:8080", "", http.StatusOK, "text/html; charset=utf-8"},
		{"/evidence/e101/pod.html", "localhost:8080", "", http.StatusOK, "text/plain; charset=utf-8"},
		{"/", "evil.example", "", http.StatusForbidden, ""},
		{"/evidence/e101/pod.html", "evil.example", "", http.StatusForbidden, ""},
		{"/", "127.0.0.1:8080", "http://evil.example", http.StatusForbidden, ""},
	} {
		request := httptest.NewRequest(http.MethodGet, test.path, nil)
		request.Host = test.host
		if test.origin != "" {
			request.Header.Set("Origin", test.origin)
		}
		w := httptest.NewRecorder()
		liveReport(dir, time.Now()).ServeHTTP(w, request)
		if w.Code != test.status || test.kind != "" && w.Header().Get("Content-Type") != test.kind {
			t.Errorf("%+v: got %d %q", test, w.Code, w.Header().Get("Content-Type"))
		}
		for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": livePolicy} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%+v: %s is %q", test, name, got)
			}
		}
	}
}
