package probe

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"faultline/reports/record"
)

// anchor is the ConfigMap that the reads ask for, in the probes' namespace.
// It is labelled with its own name so that a LIST finds it alone.
const (
	anchor      = "anchor"
	anchorLabel = "faultline/anchor"
)

// reader sends its requests in turn: GET and LIST take different ways through
// an API server and may fail differently.
type reader struct {
	caller   *caller
	requests []request
	verbs    []string
	turn     atomic.Uint32
}

// newConsistentReader reads without a resource version. GET reads etcd; LIST may
// be served by the watch cache, but has to ask etcd for the newest revision first.
func newConsistentReader(d door, namespace string, timeout time.Duration) (*reader, error) {
	return newReader(d, namespace, timeout, "")
}

// newCachedReader reads with resource version 0: whatever the watch cache holds.
func newCachedReader(d door, namespace string, timeout time.Duration) (*reader, error) {
	return newReader(d, namespace, timeout, "&resourceVersion=0")
}

func newReader(d door, namespace string, timeout time.Duration, version string) (*reader, error) {
	c, err := d.open(timeout)
	if err != nil {
		return nil, err
	}
	list := "/api/v1/namespaces/" + namespace + "/configmaps"
	query := serverTimeout(timeout) + version
	return &reader{
		caller: c,
		verbs:  []string{"GET", "LIST"},
		requests: []request{
			c.ask(http.MethodGet, list+"/"+anchor, query, mediaJSON),
			c.ask(http.MethodGet, list, query+"&labelSelector="+anchorLabel, mediaJSON),
		},
	}, nil
}

// newReadyReader asks an API server how it is.
func newReadyReader(d door, timeout time.Duration) (*reader, error) {
	c, err := d.open(timeout)
	if err != nil {
		return nil, err
	}
	return &reader{
		caller:   c,
		verbs:    []string{"readyz"},
		requests: []request{c.ask(http.MethodGet, "/readyz", "", "*/*")},
	}, nil
}

func (r *reader) take(ctx context.Context) outcome {
	i := int(r.turn.Add(1)) % len(r.requests)
	o := r.once(ctx, r.requests[i])
	if o.way != record.Up {
		o.detail = r.verbs[i] + ": " + o.detail
	}
	return o
}

func (r *reader) once(ctx context.Context, req request) outcome {
	a, err := r.caller.do(ctx, req, nil)
	if err != nil {
		return failed(err)
	}
	defer a.free()
	return a.outcome()
}
