package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// loadedServer notes what it is asked, and answers with a status of the test's choice.
type loadedServer struct {
	mu     sync.Mutex
	asked  map[string]int // by method and last part of the path
	status int
	first  int // for the first request; 0: the same
}

func (s *loadedServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer secret" || !strings.HasPrefix(r.URL.Path, "/api/v1/namespaces/shop/") {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	s.asked[r.Method+" "+strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/shop/")]++
	status := s.status
	if s.first != 0 {
		status, s.first = s.first, 0
	}
	w.WriteHeader(status)
}

// startLoad runs a load in the background, waits until its status is as wanted or ten
// seconds are over, and returns the status.
func startLoad(t *testing.T, s *loadedServer, wanted func(tally) bool, args ...string) tally {
	t.Helper()
	s.asked = map[string]int{}
	web := httptest.NewUnstartedServer(s)
	web.EnableHTTP2 = true
	web.StartTLS()
	t.Cleanup(web.Close)
	dir := t.TempDir()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "ca.crt"), authority, 0o600),
		os.WriteFile(filepath.Join(dir, "token"), []byte("secret\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	common := []string{"load", args[0], "-server", web.URL, "-server-name", "example.com", "-dir", dir, "-namespace", "shop"}
	go func() { ended <- run(ctx, append(common, args[1:]...)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	var latest tally
	for range 200 {
		content, err := os.ReadFile(filepath.Join(dir, "status"))
		if err == nil && json.Unmarshal(content, &latest) == nil && wanted(latest) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return latest
}

func TestLoadKeepsItsRate(t *testing.T) {
	t.Parallel()
	s := &loadedServer{status: http.StatusOK}
	got := startLoad(t, s, func(l tally) bool { return l.Done > 90 }, "requests", "-rate", "200", "-clients", "50")
	if got.Began < 90 || got.Began > 300 || got.Done < 90 || got.Failed+got.Refused > 0 || got.Seconds < 0.9 {
		t.Errorf("status %+v, want about 200 that began and are done", got)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked["GET configmaps"] < 40 || s.asked["GET serviceaccounts/client"] < 40 {
		t.Errorf("asked %v, want both about equally often", s.asked)
	}
}

func TestLoadTellsRefusalsFromFailures(t *testing.T) {
	t.Parallel()
	all := func(l tally) bool { return l.Refused+l.Failed > 20 }
	if got := startLoad(t, &loadedServer{status: http.StatusTooManyRequests}, all, "events", "-rate", "50", "-count", "1000"); got.Refused < 20 || got.Done+got.Failed > 0 {
		t.Errorf("429: %+v", got)
	}
	if got := startLoad(t, &loadedServer{status: http.StatusInternalServerError, first: 200}, all, "events", "-rate", "50", "-count", "1000"); got.Failed < 20 || got.Done+got.Refused > 0 || !strings.Contains(got.Error, "POST events: 500") {
		t.Errorf("500: %+v", got)
	}
}

func TestLoadEndsAtItsTotal(t *testing.T) {
	t.Parallel()
	s := &loadedServer{status: http.StatusCreated}
	over := func(l tally) bool { return l.Total == 30 && l.Began == 0 && l.Waiting == 0 }
	if got := startLoad(t, s, over, "events", "-rate", "500", "-count", "30"); !over(got) {
		t.Errorf("status %+v, want 30 Events in all", got)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked["POST events"] != 30 {
		t.Errorf("asked %v, want 30 Events", s.asked)
	}
}

func TestLoadListsWhatItMade(t *testing.T) {
	t.Parallel()
	s := &loadedServer{status: http.StatusOK}
	got := startLoad(t, s, func(l tally) bool { return l.Done > 10 }, "lists", "-objects", "7", "-size", "10", "-parallel", "2")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked["POST configmaps"] != 7 || s.asked["GET configmaps"] < 10 || got.Waiting > 2 {
		t.Errorf("asked %v, status %+v", s.asked, got)
	}
}

func TestLoadDeletesThePodsThatItMade(t *testing.T) {
	t.Parallel()
	s := &loadedServer{status: http.StatusOK}
	got := startLoad(t, s, func(l tally) bool { return l.Done > 50 }, "pods", "-rate", "100", "-keep", "5", "-image", "x")
	s.mu.Lock()
	defer s.mu.Unlock()
	deleted := 0
	for what := range s.asked {
		if strings.HasPrefix(what, "DELETE pods/churn-") {
			deleted++
		}
	}
	if s.asked["POST pods"] < 50 || deleted < s.asked["POST pods"]-30 || got.Failed > 0 {
		t.Errorf("created %d, deleted %d, status %+v", s.asked["POST pods"], deleted, got)
	}
}

func TestLoadWithholdsWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	l := &load{perSecond: 1000, waiting: 3, total: unlimited, status: filepath.Join(t.TempDir(), "status"),
		round: func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	if err := l.run(ctx); err != nil {
		t.Fatal(err)
	}
	if got := l.sum(); got.Total != 3 || got.Withheld < 100 || got.Failed+got.Done > 0 {
		t.Errorf("%+v, want 3 that began and the others withheld", got)
	}
}

func TestLoadNeedsToKnowWhat(t *testing.T) {
	for _, args := range [][]string{{"load"}, {"load", "dance"}, {"load", "events"}, {"load", "events", "-server", "https://127.0.0.1:1", "-namespace", "x", "-dir", t.TempDir()}} {
		if run(t.Context(), args) == nil {
			t.Errorf("run(%q) succeeded", args)
		}
	}
}
