package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestIdentity(t *testing.T) {
	t.Setenv("POD_NAME", "web-0")
	t.Setenv("POD_NAMESPACE", "shop")
	t.Setenv("NODE_NAME", "worker")
	t.Setenv("POD_IP", "10.244.1.7")
	handler := newServer().handler()
	var got identity
	for range 3 {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest("GET", "/", nil))
		if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
	}
	if got.Pod != "web-0" || got.Namespace != "shop" || got.Node != "worker" || got.IP != "10.244.1.7" || got.Requests != 3 || got.Started.IsZero() {
		t.Errorf("identity = %+v", got)
	}
}

func TestHealthAndUnknownPath(t *testing.T) {
	handler := newServer().handler()
	for path, want := range map[string]int{"/healthz": 200, "/nowhere": 404, "/history?since_ns=x": 400} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		if answer.Code != want {
			t.Errorf("GET %s = %d, want %d", path, answer.Code, want)
		}
	}
}

func TestHistoryForgetsTheOldest(t *testing.T) {
	h := newHistory(3)
	for i := range 5 {
		h.add(sample{Start: int64(i)})
	}
	samples, total := h.after(0)
	if total != 5 || len(samples) != 3 || samples[0].Start != 2 || samples[2].Start != 4 {
		t.Errorf("after(0) = %v, %d", samples, total)
	}
	if samples, _ := h.after(4); len(samples) != 1 || samples[0].Start != 4 {
		t.Errorf("after(4) = %v", samples)
	}
}

func TestHistorySince(t *testing.T) {
	s := newServer()
	s.samples.add(sample{Target: "api", Start: 10})
	s.samples.add(sample{Target: "api", Start: 20})
	answer := httptest.NewRecorder()
	s.handler().ServeHTTP(answer, httptest.NewRequest("GET", "/history?since_ns="+strconv.Itoa(10), nil))
	if got := strings.TrimSpace(answer.Body.String()); strings.Count(got, "\n") != 0 || !strings.Contains(got, `"start_ns":20`) {
		t.Errorf("history = %q", got)
	}
}

func TestStreamSendsWhatHappensFromNowOn(t *testing.T) {
	s := newServer()
	s.samples.add(sample{Target: "old"})
	web := httptest.NewServer(s.handler())
	defer web.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	request, _ := http.NewRequestWithContext(ctx, "GET", web.URL+"/client", nil)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	s.samples.add(sample{Target: "new", Status: 200})
	lines := bufio.NewScanner(response.Body)
	if !lines.Scan() || !strings.Contains(lines.Text(), `"target":"new"`) {
		t.Errorf("first line = %q, %v", lines.Text(), lines.Err())
	}
}

func TestSamples(t *testing.T) {
	slow := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-slow
		}
		w.WriteHeader(http.StatusTeapot)
	}))
	defer web.Close()
	defer close(slow)
	c, err := newClient(200 * time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if s := c.sampleOnce(t.Context(), target{"tea", web.URL}); s.Status != http.StatusTeapot || s.Error != "" || s.Latency <= 0 || s.Start <= 0 {
		t.Errorf("answered: %+v", s)
	}
	if s := c.sampleOnce(t.Context(), target{"slow", web.URL + "/slow"}); s.Status != 0 || s.Error == "" || s.Latency < int64(200*time.Millisecond) {
		t.Errorf("timed out: %+v", s)
	}
	if s := c.sampleOnce(t.Context(), target{"none", "http://127.0.0.1:1"}); s.Status != 0 || !strings.Contains(s.Error, "refused") {
		t.Errorf("refused: %+v", s)
	}
	if s := c.sampleOnce(t.Context(), target{"known", "dns:localhost"}); s.Status != http.StatusOK || s.Error != "" {
		t.Errorf("a host that exists: %+v", s)
	}
	if s := c.sampleOnce(t.Context(), target{"unknown", "dns:no-such-host.invalid."}); s.Status != 0 || s.Error == "" {
		t.Errorf("a host that does not exist: %+v", s)
	}
}

func TestSamplingKeepsItsPace(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer web.Close()
	c, _ := newClient(time.Second)
	h := newHistory(100)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go c.sampleForever(ctx, target{"web", web.URL}, 5*time.Millisecond, h)
	deadline := time.After(10 * time.Second)
	for {
		samples, total := h.after(0)
		if total >= 5 {
			if samples[0].Target != "web" || samples[0].Status != 200 {
				t.Errorf("sample = %+v", samples[0])
			}
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatalf("only %d samples", total)
		}
	}
}

func TestTargetFlag(t *testing.T) {
	var wanted targets
	if err := wanted.Set("api=https://kubernetes.default.svc/readyz?a=b"); err != nil {
		t.Fatal(err)
	}
	if wanted[0] != (target{"api", "https://kubernetes.default.svc/readyz?a=b"}) {
		t.Errorf("target = %+v", wanted[0])
	}
	if err := wanted.Set("name=dns:kubernetes.default."); err != nil || wanted[1] != (target{"name", "dns:kubernetes.default."}) {
		t.Errorf("targets %+v, %v", wanted, err)
	}
	for _, bad := range []string{"api", "=http://x", "api=ftp://x"} {
		if wanted.Set(bad) == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestHeartbeat(t *testing.T) {
	file := filepath.Join(t.TempDir(), "beat")
	ctx, cancel := context.WithCancel(t.Context())
	var count atomic.Int64
	err := beat(ctx, time.Millisecond, &count, func(n int64) error {
		if n == 3 {
			cancel()
		}
		return os.WriteFile(file, []byte(strconv.FormatInt(n, 10)), 0o644)
	})
	if text, _ := os.ReadFile(file); err != nil || count.Load() < 3 || string(text) != strconv.FormatInt(count.Load(), 10) {
		t.Errorf("beat = %v, count %d, file %q", err, count.Load(), text)
	}
}

func TestUnknownCommand(t *testing.T) {
	for _, args := range [][]string{nil, {"dance"}, {"serve", "-target", "x"}} {
		if run(t.Context(), args) == nil {
			t.Errorf("run(%q) succeeded", args)
		}
	}
}
