package page

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestAddresses(t *testing.T) {
	for _, address := range []string{"", "127.0.0.1:0", "127.0.0.2:0", "localhost:0"} {
		server, err := Serve(address, example, &day{})
		if err != nil {
			t.Errorf("%q: %v", address, err)
			continue
		}
		if host := server.listener.Addr().String(); !strings.HasPrefix(host, "127.0.0.") {
			t.Errorf("%q: it listens on %s", address, host)
		}
		if err := server.Close(); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
	for address, want := range map[string]string{
		"0.0.0.0:0": "not on loopback", ":0": "not on loopback", "[::]:0": "not on loopback", "192.0.2.1:80": "not on loopback",
		"example.org:80": "not on loopback", "localhost.example.org:80": "not on loopback", "127.0.0.1": "want a host and a port",
	} {
		server, err := Serve(address, example, &day{})
		if err == nil {
			server.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", address, err, want)
		}
	}
	d := startDay(t)
	taken := d.server.listener.Addr().String()
	if _, err := Serve(taken, example, d); err == nil || !strings.Contains(err.Error(), taken) {
		t.Errorf("a port that is taken: %v", err)
	}
}

// stream reads a stream of events line by line.
type stream struct {
	t *testing.T
	*bufio.Reader
}

func (d *day) stream() stream {
	d.t.Helper()
	response := d.ask(d.t.Context(), http.MethodGet, "/events?token="+d.server.token, "")
	d.t.Cleanup(func() { response.Body.Close() })
	if kind := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || kind != "text/event-stream" {
		d.t.Fatalf("the events are %d %s", response.StatusCode, kind)
	}
	return stream{d.t, bufio.NewReader(response.Body)}
}

// next is the lines of the next event.
func (s stream) next() string {
	s.t.Helper()
	var event strings.Builder
	for {
		line, err := s.ReadString('\n')
		if err != nil {
			s.t.Fatalf("after %q: %v", event.String(), err)
		}
		if line == "\n" {
			return event.String()
		}
		event.WriteString(line)
	}
}

func (s stream) snapshot() (text string, snapshot Snapshot) {
	s.t.Helper()
	_, text, found := strings.Cut(s.next(), "data: ")
	if err := json.Unmarshal([]byte(text), &snapshot); err != nil || !found {
		s.t.Fatalf("%q is no snapshot: %v", text, err)
	}
	return text, snapshot
}

func TestEventsTellSnapshots(t *testing.T) {
	d := startDay(t)
	began := time.Now()
	s := d.stream()
	if first := s.next(); !strings.HasPrefix(first, "retry: 1000\ndata: {") {
		t.Errorf("the first event is %.80q", first)
	}
	text, got := s.snapshot()
	if took := time.Since(began); took < interval/2 {
		t.Errorf("the second event came after %s", took)
	}
	got.Now = time.Time{}
	if want := example(); !reflect.DeepEqual(got, want) {
		t.Errorf("told is %+v\nwant    %+v", got, want)
	}
	for _, name := range []string{`"cluster"`, `"errorRate"`, `"p50"`, `"leads"`, `"of"`, `"met"`, `"ok"`} {
		if !strings.Contains(text, name) {
			t.Errorf("%s is not in %s", name, text)
		}
	}
	if strings.Contains(text, `"since"`) || strings.Contains(text, `"aborted"`) {
		t.Errorf("what has not happened is told: %s", text)
	}

	landed := time.Now().UTC()
	d.change(func(s *Snapshot) { s.Phase, s.Experiment.Since = Holding, landed })
	for got.Phase != Holding {
		_, got = s.snapshot()
	}
	if !got.Experiment.Since.Equal(landed) {
		t.Errorf("the fault landed at %s, told is %s", landed, got.Experiment.Since)
	}
}

// However short a snapshot is, it waits for no others to fill a buffer.
func TestEventsComeAtOnce(t *testing.T) {
	d := startDay(t)
	d.change(func(s *Snapshot) { *s = Snapshot{} })
	began := time.Now()
	d.stream().next()
	if took := time.Since(began); took > 4*interval {
		t.Errorf("the first event came after %s", took)
	}
}

// A snapshot that JSON does not know is told as such, and the next one again.
func TestEventsTellWhatCannotBeTold(t *testing.T) {
	d := startDay(t)
	d.change(func(s *Snapshot) { s.Probes[0].P50 = math.NaN() })
	s := d.stream()
	if event := s.next(); !strings.Contains(event, "event: trouble\ndata: \"") || !strings.Contains(event, "NaN") {
		t.Errorf("the event is %q", event)
	}
	d.change(func(s *Snapshot) { s.Probes[0].P50 = 1 })
	for deadline := time.Now().Add(10 * time.Second); !strings.HasPrefix(s.next(), "data: {"); {
		if time.Now().After(deadline) {
			t.Fatal("no snapshot is told any more")
		}
	}
}

func TestCloseEndsEvents(t *testing.T) {
	d := startDay(t)
	s := d.stream()
	s.next()
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, s)
		close(ended)
	}()
	if err := d.server.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the stream goes on")
	}
	if _, err := http.Get(d.server.URL()); err == nil {
		t.Error("a closed server answers")
	}
	if err := d.server.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

// An action may end the day, and the page with it.
func TestAnActionMayCloseTheServer(t *testing.T) {
	closer := &closing{day: day{t: t, snapshot: example()}}
	server, err := Serve("", closer.Snapshot, closer)
	if err != nil {
		t.Fatal(err)
	}
	closer.server = server
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+server.listener.Addr().String()+"/abort", strings.NewReader("{}"))
	request.Header.Set(tokenHeader, server.token)
	if response, err := http.DefaultClient.Do(request); err == nil {
		response.Body.Close()
	}
	select {
	case <-server.ended:
	case <-time.After(10 * time.Second):
		t.Error("the server goes on")
	}
}

type closing struct{ day }

func (c *closing) Abort(string) { _ = c.server.Close() }

// What ends a server that nobody closed is told by Close.
func TestCloseTellsWhyAServerEnded(t *testing.T) {
	d := startDay(t)
	d.server.listener.Close()
	<-d.server.ended
	if err := d.server.Close(); err == nil || errors.Is(err, http.ErrServerClosed) {
		t.Errorf("the listener was gone, and Close says %v", err)
	}
}
