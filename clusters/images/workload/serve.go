package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// identity is what the server says at "/". Pod, namespace, node and address
// come from the environment (POD_NAME, POD_NAMESPACE, NODE_NAME, POD_IP).
type identity struct {
	Pod        string    `json:"pod"`
	Namespace  string    `json:"namespace"`
	Node       string    `json:"node"`
	IP         string    `json:"ip"`
	Started    time.Time `json:"started"`
	Requests   int64     `json:"requests"`   // served so far, with this one
	Heartbeats int64     `json:"heartbeats"` // one a second since the start
	Client     string    `json:"client"`     // address that the request came from
}

// server is the state of "workload serve".
type server struct {
	identity identity
	requests atomic.Int64
	beats    atomic.Int64
	samples  *history
}

func newServer() *server {
	pod := os.Getenv("POD_NAME")
	if pod == "" {
		pod, _ = os.Hostname()
	}
	return &server{
		identity: identity{
			Pod: pod, Namespace: os.Getenv("POD_NAMESPACE"), Node: os.Getenv("NODE_NAME"),
			IP: os.Getenv("POD_IP"), Started: time.Now().UTC(),
		},
		samples: newHistory(historySize),
	}
}

// targets is the repeatable flag -target name=url or name=dns:host.
type targets []target

type target struct{ name, url string }

func (t *targets) String() string { return fmt.Sprint(*t) }

func (t *targets) Set(value string) error {
	name, url, ok := strings.Cut(value, "=")
	if !ok || name == "" || !strings.HasPrefix(url, "http") && !strings.HasPrefix(url, lookupScheme) {
		return fmt.Errorf("%q is not name=url or name=dns:host", value)
	}
	*t = append(*t, target{name, url})
	return nil
}

// serve answers until ctx ends, then lets open requests finish.
func serve(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	listen := flags.String("listen", ":8080", "address to listen on")
	interval := flags.Duration("interval", 50*time.Millisecond, "time between two samples of a target")
	timeout := flags.Duration("timeout", time.Second, "longest that one sample may take")
	var wanted targets
	flags.Var(&wanted, "target", "name=url to sample, or name=dns:host to look up; may be repeated")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s := newServer()
	go func() { _ = beat(ctx, time.Second, &s.beats, func(int64) error { return nil }) }()
	client, err := newClient(*timeout)
	if err != nil {
		return err
	}
	for _, t := range wanted {
		go client.sampleForever(ctx, t, *interval, s.samples)
	}
	return listenAndServe(ctx, *listen, s.handler())
}

func listenAndServe(ctx context.Context, address string, handler http.Handler) error {
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return server.Close()
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.identify)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /client", s.streamSamples)
	mux.HandleFunc("GET /history", s.listSamples)
	return mux
}

func (s *server) identify(w http.ResponseWriter, r *http.Request) {
	id := s.identity
	id.Requests, id.Heartbeats, id.Client = s.requests.Add(1), s.beats.Load(), r.RemoteAddr
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(id)
}
