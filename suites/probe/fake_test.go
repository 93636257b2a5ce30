package probe

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"faultline/clusters"
)

// fakeAPI is as much of an API server as the probes ask for, with levers to
// make it lie.
type fakeAPI struct {
	mu          sync.Mutex
	version     int
	maps        map[string]int // ConfigMaps of the ledger: name to version
	events      []string       // of all their changes, in order
	changed     chan struct{}
	pods        map[string]bool // name to bound
	generation  int64
	history     int64
	observed    int64
	answer      func(w http.ResponseWriter, r *http.Request) bool // overrides, when it returns true
	bind        bool                                              // the scheduler works
	reconciling bool                                              // the controller works
	deaf        map[string]bool                                   // events that no watch delivers
	listVersion int                                               // told by lists in place of the true one
	gone        bool                                              // the next watch is too old
	holder      string
	watches     int
	deletions   []string
}

func newFakeAPI() *fakeAPI {
	return &fakeAPI{
		version: 100, maps: map[string]int{}, changed: make(chan struct{}), pods: map[string]bool{},
		bind: true, reconciling: true, deaf: map[string]bool{}, holder: "n1_abc", generation: 1, observed: 1,
	}
}

func (f *fakeAPI) lock() func() { f.mu.Lock(); return f.mu.Unlock }

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	unlock := f.lock()
	override := f.answer
	unlock()
	if override != nil && override(w, r) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	path := r.URL.Path
	switch {
	case strings.HasSuffix(path, "-ledger/configmaps"):
		f.ledger(w, r)
	case strings.Contains(path, "/configmaps"), path == "/readyz":
		io.WriteString(w, `{"kind":"ConfigMap","metadata":{"name":"anchor","resourceVersion":"7"}}`)
	case strings.Contains(path, "/pods"):
		f.pod(w, r)
	case strings.Contains(path, "/deployments/"):
		f.deployment(w, r)
	case strings.HasSuffix(path, "/leases"):
		defer f.lock()()
		fmt.Fprintf(w, `{"items":[{"metadata":{"name":"kube-scheduler"},"spec":{"holderIdentity":%q,"leaseTransitions":3,"renewTime":"2026-01-01T00:00:00.000000Z"}}]}`, f.holder)
	default:
		status(w, http.StatusNotFound, "no such path: "+path)
	}
}

func status(w http.ResponseWriter, code int, message string) {
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","status":"Failure","message":%q,"code":%d}`, message, code)
}

func (f *fakeAPI) ledger(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost:
		body, _ := io.ReadAll(r.Body)
		name, _ := scanString(body, "name")
		version := f.put(name)
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, metadata(name, version))
	case r.Method == http.MethodDelete:
		defer f.lock()()
		f.deletions = append(f.deletions, r.URL.Query().Get("labelSelector"))
		io.WriteString(w, `{"items":[]}`)
	case r.URL.Query().Get("watch") != "":
		f.watch(w, r)
	default:
		f.list(w, r)
	}
}

func metadata(name string, version int) string {
	return fmt.Sprintf(`{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":%q,"namespace":"x","resourceVersion":"%d","managedFields":[{"fieldsV1":{"f:data":{}}}]}}`, name, version)
}

func (f *fakeAPI) put(name string) int {
	defer f.lock()()
	f.version++
	f.maps[name] = f.version
	if !f.deaf[name] && !f.deaf["*"] {
		f.events = append(f.events, fmt.Sprintf(`{"type":"ADDED","object":%s}`, metadata(name, f.version)))
	} else {
		f.events = append(f.events, "")
	}
	close(f.changed)
	f.changed = make(chan struct{})
	return f.version
}

// list pages two objects at a time, to be sure that pages are followed.
func (f *fakeAPI) list(w http.ResponseWriter, r *http.Request) {
	defer f.lock()()
	var names []string
	for name := range f.maps {
		names = append(names, name)
	}
	slices.Sort(names)
	start, _ := strconv.Atoi(r.URL.Query().Get("continue"))
	version, next := f.version, ""
	if f.listVersion != 0 {
		version = f.listVersion
	}
	end := min(start+2, len(names))
	if end < len(names) {
		next = strconv.Itoa(end)
	}
	var items []string
	for _, name := range names[start:end] {
		items = append(items, metadata(name, f.maps[name]))
	}
	fmt.Fprintf(w, `{"metadata":{"resourceVersion":"%d","continue":%q},"items":[%s]}`, version, next, strings.Join(items, ","))
}

// watch streams the events after the version asked for: event i has version 101+i.
func (f *fakeAPI) watch(w http.ResponseWriter, r *http.Request) {
	unlock := f.lock()
	gone := f.gone
	f.gone = false
	f.watches++
	unlock()
	if gone {
		status(w, http.StatusGone, "The resourceVersion for the provided watch is too old.")
		return
	}
	version, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	next := max(0, version-100)
	w.WriteHeader(http.StatusOK)
	for {
		unlock := f.lock()
		events, changed := f.events[min(next, len(f.events)):], f.changed
		next += len(events)
		unlock()
		for _, e := range events {
			if e != "" {
				io.WriteString(w, e+"\n")
			}
		}
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		}
	}
}

func (f *fakeAPI) pod(w http.ResponseWriter, r *http.Request) {
	defer f.lock()()
	name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	bound, exists := f.pods[name]
	switch {
	case r.Method == http.MethodPost:
		body, _ := io.ReadAll(r.Body)
		if !json.Valid(body) {
			status(w, http.StatusBadRequest, "the pod is no JSON")
			return
		}
		name, _ = scanString(body, "name")
		f.pods[name] = false
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, metadata(name, 1))
	case !exists:
		status(w, http.StatusNotFound, `pods "`+name+`" not found`)
	case r.Method == http.MethodDelete:
		delete(f.pods, name)
	default:
		f.pods[name] = bound || f.bind
		node := ""
		if f.pods[name] {
			node = `"nodeName":"n1",`
		}
		fmt.Fprintf(w, `{"metadata":{"name":%q,"managedFields":[{"f:nodeName":{}}]},"spec":{%s"os":{"name":"windows"}}}`, name, node)
	}
}

func (f *fakeAPI) deployment(w http.ResponseWriter, r *http.Request) {
	defer f.lock()()
	if r.Method == http.MethodPatch {
		body, _ := io.ReadAll(r.Body)
		if n, _ := scanNumber(body, "revisionHistoryLimit"); n != f.history {
			f.history = n
			f.generation++
		}
	} else if f.reconciling {
		f.observed = f.generation
	}
	fmt.Fprintf(w, `{"metadata":{"name":"r","generation":%d},"status":{"observedGeneration":%d}}`, f.generation, f.observed)
}

// serve runs the fake with TLS and HTTP/2 as a real API server does.
func serve(t testing.TB, handler http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.Config.ErrorLog = quiet()
	server.StartTLS()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return server
}

func doorAt(vantage, address string) door {
	transport := func() (*http.Transport, error) {
		return &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}, nil
	}
	return door{vantage: vantage, address: address, width: 1, transport: transport, dial: clusters.Endpoint{}.Dial}
}

func doorOf(vantage string, server *httptest.Server) door {
	return doorAt(vantage, server.Listener.Addr().String())
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("waited 10 s for %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func freeAddress(t testing.TB) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
