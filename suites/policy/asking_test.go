package policy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"

	"faultline/clusters"
	"faultline/suites/drill"
)

// server is an API server that gives each path a status. It counts what it is asked.
type server struct {
	clusters.Endpoint
	statuses map[string]int
	asked    atomic.Int32
}

func newServer(t *testing.T, statuses map[string]int) *server {
	t.Helper()
	s := &server{statuses: statuses}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		status := s.statuses[r.URL.Path]
		if status == 0 {
			panic(http.ErrAbortHandler) // nobody answers
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"kind":"Status","message":"because of %s"}`, r.Header.Get("Content-Type"))
	}))
	t.Cleanup(h.Close)
	s.Endpoint = clusters.Endpoint{Name: "m1", Address: h.URL}
	return s
}

var somebody = subjects{"somebody": func(e clusters.Endpoint) *rest.Config { return &rest.Config{Host: e.Address} }}

func TestLooks(t *testing.T) {
	list := []right{
		{who: "somebody", demand: read("read a", "/a"), granted: true},
		{who: "somebody", demand: read("read b", "/b"), because: "because"},
	}
	for _, c := range []struct {
		name                      string
		a, b                      int
		exactly, refusals, closed bool
	}{
		{"as granted", 200, 403, true, true, true},
		{"only the granted one fails", 500, 403, false, true, true},
		{"nobody answers", 0, 0, false, false, true},
		{"the other one is allowed", 200, 200, false, false, false},
		{"the other one fails", 200, 500, false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, map[string]int{"/a": c.a, "/b": c.b})
			for name, look := range map[string]struct {
				does func(*rights) drill.Request
				want bool
			}{
				"exactly":  {func(r *rights) drill.Request { return r.exactly(s.Endpoint) }, c.exactly},
				"known":    {func(r *rights) drill.Request { return r.known(s.Endpoint) }, c.exactly},
				"refusals": {func(r *rights) drill.Request { return r.refusals(s.Endpoint) }, c.refusals},
				"closed":   {func(r *rights) drill.Request { return r.closed(s.Endpoint) }, c.closed},
			} {
				if err := look.does(newRights(somebody, list...))(t.Context(), nil); (err == nil) != look.want {
					t.Errorf("%s: %v, want success %t", name, err, look.want)
				}
			}
		})
	}
}

func TestABreachIsNotForgotten(t *testing.T) {
	s := newServer(t, map[string]int{"/a": 200})
	r := newRights(somebody, right{who: "somebody", demand: read("read a", "/a")})
	look := r.exactly(s.Endpoint)
	err := look(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "somebody: to read a is allowed, which nobody has granted (through m1: 200") {
		t.Errorf("got %v", err)
	}
	s.statuses["/a"] = 403
	if look(t.Context(), nil) == nil || r.closed(s.Endpoint)(t.Context(), nil) == nil {
		t.Error("it is forgotten")
	}
	if err := r.known(s.Endpoint)(t.Context(), nil); err != nil {
		t.Errorf("a policy that is known by now: %v", err)
	}
}

func TestWhoGetsNoAnswerSendsNothingMore(t *testing.T) {
	s := newServer(t, map[string]int{"/b": 403})
	r := newRights(somebody, right{who: "somebody", demand: create("create a", "/a", nil)}, right{who: "somebody", demand: read("read b", "/b")})
	if err := r.refusals(s.Endpoint)(t.Context(), nil); err == nil {
		t.Error("who was not asked has not refused")
	}
	if n := s.asked.Load(); n != 1 {
		t.Errorf("%d demands were sent", n)
	}
	if r.tally != (tally{}) {
		t.Errorf("nobody answered, but %s", &r.tally)
	}
}

func TestARefusalDoesNotWaitForWhatHangs(t *testing.T) {
	s := newServer(t, map[string]int{"/b": 403})
	r := newRights(somebody, right{who: "somebody", demand: read("read a", "/a"), granted: true}, right{who: "somebody", demand: read("read b", "/b")})
	if err := r.refusals(s.Endpoint)(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestRefusalsAreQuoted(t *testing.T) {
	s := newServer(t, map[string]int{"/a": 403})
	for media, q := range map[string]demand{
		"application/json":             create("create a", "/a", map[string]string{"a": "b"}),
		"application/merge-patch+json": change("change a", "/a", map[string]string{"a": "b"}),
	} {
		status, said := q.send(t.Context(), http.DefaultClient, s.Address)
		if status != 403 || said != "because of "+media {
			t.Errorf("got %d %q", status, said)
		}
	}
	if got := messageOf([]byte("[-]etcd failed")); got != "[-]etcd failed" {
		t.Errorf("got %q", got)
	}
}

func TestWhatIsAllowedIsNotQuoted(t *testing.T) {
	s := newServer(t, map[string]int{"/secret": 200})
	if status, said := read("read a secret", "/secret").send(t.Context(), http.DefaultClient, s.Address); status != 200 || said != "" {
		t.Errorf("got %d %q", status, said)
	}
}
