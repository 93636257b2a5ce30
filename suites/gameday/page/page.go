// Package page serves the live page of a game day, on which people watch experiments on a
// cluster and approve, skip or abort them. It knows no Kubernetes: what it shows comes from
// a function, and what people do goes to an interface.
//
// Whoever may use the page can break a cluster. It is therefore served on loopback only, and
// to those who have its token: see guard.go and package loopback.
package page

import (
	"cmp"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"faultline/suites/loopback"
)

//go:embed assets
var assets embed.FS

// Server is the page of one game day, until it is closed.
type Server struct {
	listener net.Listener
	token    string
	snapshot func() Snapshot
	http     http.Server

	ended   chan struct{} // the server accepts nothing any more
	failure error         // why, if nobody closed it; written before ended is closed
}

// Serve listens on 127.0.0.1, on a free port unless another loopback address is given.
// Snapshot and actions are called by several requests at once.
func Serve(address string, snapshot func() Snapshot, actions Actions) (*Server, error) {
	return serve(address, rand.Text(), snapshot, actions) // at least 128 bits
}

// serve has a token of the caller's choice.
func serve(address, token string, snapshot func() Snapshot, actions Actions) (*Server, error) {
	listener, err := listen(address)
	if err != nil {
		return nil, err
	}
	s := &Server{listener: listener, token: token, snapshot: snapshot, ended: make(chan struct{})}
	// No ReadTimeout: it would end the streams of events, too.
	s.http = http.Server{Handler: loopback.Guard(policy, s.routes(actions)), ReadHeaderTimeout: 10 * time.Second}
	go s.accept()
	return s, nil
}

func listen(address string) (net.Listener, error) {
	address, err := loopback.Address(cmp.Or(address, loopback.Free))
	if err != nil {
		return nil, fmt.Errorf("serve the page, with which the cluster can be broken: %w", err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serve the page: %w", err)
	}
	return listener, nil
}

func (s *Server) accept() {
	defer close(s.ended)
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		s.failure = fmt.Errorf("serve the page: %w", err)
	}
}

// routes asks for the token wherever there is something to see or to do. Script and style
// hold no secret, and a page has no header to ask for them with.
func (s *Server) routes(actions Actions) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /page.js", asset("page.js"))
	mux.Handle("GET /page.css", asset("page.css"))
	mux.Handle("GET /{$}", s.withToken(asset("page.html")))
	mux.Handle("GET /events", s.withToken(http.HandlerFunc(s.events)))
	mux.Handle("POST /approve", s.withToken(post(func(d decision) error { return actions.Approve(d.Experiment) })))
	mux.Handle("POST /skip", s.withToken(post(func(d decision) error { return actions.Skip(d.Experiment) })))
	mux.Handle("POST /abort", s.withToken(post(func(a abort) error { actions.Abort(a.reason()); return nil })))
	mux.Handle("POST /note", s.withToken(post(func(n note) error { return actions.Note(n.Text) })))
	return mux
}

func asset(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, assets, "assets/"+name)
	})
}

// URL is the address of the page, with its token: it is for those who may break the cluster.
func (s *Server) URL() string {
	return fmt.Sprintf("http://%s/?token=%s", s.listener.Addr(), s.token)
}

// Close ends the server and every stream of events at once. It waits for no action that is
// under way, so an action may call it.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.ended
	return errors.Join(err, s.failure)
}
