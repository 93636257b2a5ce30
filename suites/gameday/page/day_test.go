package page

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"faultline/reports/record"
)

// day is a game day that is made up: what its page shows, and what people did.
type day struct {
	t      *testing.T
	server *Server

	mu       sync.Mutex
	snapshot Snapshot
	done     []string
	refusal  error
}

// startDay serves a day's page on a free port until the test ends.
func startDay(t *testing.T) *day {
	t.Helper()
	d := &day{t: t, snapshot: example()}
	server, err := Serve("", d.Snapshot, d)
	if err != nil {
		t.Fatal(err)
	}
	d.server = server
	t.Cleanup(func() { server.Close() })
	return d
}

func (d *day) Snapshot() Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.snapshot
	s.Now = time.Now()
	s.Notes, s.Probes = slices.Clone(s.Notes), slices.Clone(s.Probes)
	if s.Experiment != nil {
		e := *s.Experiment
		s.Experiment = &e
	}
	return s
}

// change makes the next snapshots others.
func (d *day) change(to func(*Snapshot)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	to(&d.snapshot)
}

// refuse makes every action fail from now on, or none again.
func (d *day) refuse(why error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refusal = why
}

func (d *day) act(what string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refusal == nil {
		d.done = append(d.done, what)
	}
	return d.refusal
}

func (d *day) calls() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.done)
}

func (d *day) Approve(experiment string) error { return d.act("approve " + experiment) }
func (d *day) Skip(experiment string) error    { return d.act("skip " + experiment) }
func (d *day) Abort(reason string)             { _ = d.act("abort: " + reason) }

func (d *day) Note(text string) error {
	err := d.act("note: " + text)
	if err == nil {
		d.change(func(s *Snapshot) { s.Notes = append(s.Notes, Note{At: time.Now(), Text: text}) })
	}
	return err
}

// answer is what the server said; the body of a stream is cut.
type answer struct {
	of     string
	status int
	header http.Header
	body   string
}

func (d *day) get(path string, header ...string) answer {
	d.t.Helper()
	return d.do(http.MethodGet, path, "", header...)
}

// post sends a body with the token.
func (d *day) post(path, body string, header ...string) answer {
	d.t.Helper()
	return d.do(http.MethodPost, path, body, append([]string{"X-Faultline-Token", d.server.token}, header...)...)
}

func (d *day) do(method, path, body string, header ...string) answer {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 10*time.Second)
	defer cancel()
	response := d.ask(ctx, method, path, body, header...)
	defer response.Body.Close()
	a := answer{of: method + " " + path, status: response.StatusCode, header: response.Header}
	if response.Header.Get("Content-Type") != "text/event-stream" {
		text, err := io.ReadAll(response.Body)
		if err != nil {
			d.t.Fatal(err)
		}
		a.body = string(text)
	}
	return a
}

func (d *day) ask(ctx context.Context, method, path, body string, header ...string) *http.Response {
	d.t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+d.server.listener.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	for pair := range slices.Chunk(header, 2) {
		if pair[0] == "Host" {
			request.Host = pair[1]
		}
		request.Header.Set(pair[0], pair[1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		d.t.Fatal(err)
	}
	return response
}

// expect compares an answer's status, and looks for words in its body.
func expect(t *testing.T, got answer, status int, text string) {
	t.Helper()
	if got.status != status || !strings.Contains(got.body, text) {
		t.Errorf("%s: got %d %q, want %d with %q", got.of, got.status, got.body, status, text)
	}
}

// example is a day whose second experiment waits for approval. Each way is in a timeline.
func example() Snapshot {
	spans := []record.Span{{From: 30, To: 42, Way: record.Up}}
	for i, way := range []record.Way{record.Refused, record.TimedOut, record.EtcdError, record.NotReady, record.Pending, record.OtherDown, record.Starved, "unheard-of"} {
		from := 42 + 5*float64(i)
		spans = append(spans, record.Span{From: from, To: from + 5, Way: way, Example: "dial tcp 10.0.0.1:6443"})
	}
	spans = append(spans, record.Span{From: 82, To: 90, Way: record.Up})
	return Snapshot{
		Cluster: "staging", Server: "https://10.0.0.1:6443", Phase: Waiting, Message: "Waiting for approval of the second experiment.",
		Components: []Component{
			{Name: "kube-apiserver", Node: "n1", State: "up"}, {Name: "kube-apiserver", Node: "n2", State: "down"},
			{Name: "etcd", Node: "n1", State: "up", Leads: true}, {Name: "etcd", Node: "n2", State: "unknown"},
		},
		Probes: []Probe{
			{Name: "write", Vantage: "load-balancer", Way: record.Up, ErrorRate: 0.125, P50: 0.0123, Spans: spans, Seconds: 90, Window: 60},
			{Name: "consistent-read", Vantage: "n1", Way: record.TimedOut, ErrorRate: 1, Spans: []record.Span{{From: 0, To: 90, Way: record.TimedOut}}, Seconds: 90, Window: 60},
			{Name: "watch", Vantage: "n2", Seconds: 90, Window: 60},
		},
		Experiment: &Experiment{
			ID: "lose-leader", Number: 2, Of: 3, Name: "Lose the leader of etcd", Fault: "stop etcd", Targets: []string{"etcd on n1", "etcd on n2"},
			Prediction: "Writes fail for two seconds.", Observed: "Nothing yet.", Undo: "start etcd",
		},
		Conditions: []Condition{{Name: "failed writes", Value: "12.5 %", Limit: "50 %"}, {Name: "longest outage", Value: "70 s", Limit: "60 s", Met: true}},
		Notes:      []Note{{At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Text: "We begin."}},
		Done:       []Done{{Name: "Stop a scheduler", Outcome: "as predicted", OK: true}, {Name: "Stop an API server", Outcome: "requests failed for 9 s"}},
	}
}
