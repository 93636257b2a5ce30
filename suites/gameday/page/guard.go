package page

import (
	"crypto/subtle"
	"net/http"
)

// tokenHeader carries the token of a request that does something. A page of another origin
// cannot send it unasked, which a form or a link could do with a query.
const tokenHeader = "X-Faultline-Token"

// policy lets the page load its own script and style, talk to its own server, and nothing else.
// The image is the empty icon, which saves the browser from asking for one.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// withToken refuses those who do not have the token.
func (s *Server) withToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(tokenOf(r)), []byte(s.token)) != 1 {
			http.Error(w, "This page needs the token of its game day: open the whole address that the game day printed, with ?token=.", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// tokenOf reads the query where a browser cannot send headers: for the page and its events.
func tokenOf(r *http.Request) string {
	if r.Method == http.MethodPost {
		return r.Header.Get(tokenHeader)
	}
	return r.URL.Query().Get("token")
}
