package loopback

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAddress(t *testing.T) {
	for text, want := range map[string]string{
		Free: Free, "127.0.0.2:8080": "127.0.0.2:8080", "[::1]:80": "[::1]:80", "localhost:0": "127.0.0.1:0", "localhost:65535": "127.0.0.1:65535",
	} {
		if got, err := Address(text); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "want a host and a port", "127.0.0.1": "want a host and a port", "0.0.0.0:80": "not on loopback", ":80": "not on loopback",
		"10.0.0.1:80": "not on loopback", "localhost.evil.example:80": "not on loopback", "127.0.0.1:65536": "want a port", "127.0.0.1:-1": "want a port",
		"localhost:http": "want a port", "127.0.0.1:": "want a port",
	} {
		if got, err := Address(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestGuard(t *testing.T) {
	guarded := Guard("default-src 'none'", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for _, test := range []struct {
		host, origin string
		want         int
	}{
		{"127.0.0.1:1", "", http.StatusNoContent},
		{"localhost", "", http.StatusNoContent},
		{"[::1]:80", "http://[::1]:80", http.StatusNoContent},
		{"localhost:9000", "http://localhost:9000", http.StatusNoContent}, // a tunnel
		{"evil.example", "", http.StatusForbidden},
		{"127.0.0.1.evil.example", "", http.StatusForbidden},
		{"127.0.0.1:1", "http://evil.example", http.StatusForbidden},
		{"127.0.0.1:1", "null", http.StatusForbidden},
		{"127.0.0.1:1", "https://127.0.0.1:1", http.StatusForbidden},
		{"127.0.0.1:1", "http://127.0.0.1:2", http.StatusForbidden},
	} {
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		request.Host = test.host
		if test.origin != "" {
			request.Header.Set("Origin", test.origin)
		}
		w := httptest.NewRecorder()
		guarded.ServeHTTP(w, request)
		if w.Code != test.want {
			t.Errorf("%+v: got %d", test, w.Code)
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%+v: %s is %q", test, name, got)
			}
		}
	}
}
