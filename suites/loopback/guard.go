package loopback

import (
	"net/http"
	"net/url"
)

// Guard refuses what other sites can make a browser on this machine ask for. The content security
// policy says what a page may load and talk to.
func Guard(policy string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header(), policy)
		switch origin := r.Header.Get("Origin"); {
		case !local(hostOf(r)): // DNS rebinding: another site's name leads here
			http.Error(w, "This page is served to localhost and to loopback addresses only, and not under another name.", http.StatusForbidden)
		case origin != "" && origin != "http://"+r.Host:
			http.Error(w, "This request comes from another site's page.", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func secure(h http.Header, policy string) {
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer") // an address may hold a token
}

func hostOf(r *http.Request) string { return (&url.URL{Host: r.Host}).Hostname() }
