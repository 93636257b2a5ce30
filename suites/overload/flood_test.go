package overload

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// testServer answers as it is told, and a client of it.
func testServer(t *testing.T, answers http.HandlerFunc) client {
	t.Helper()
	server := httptest.NewServer(answers)
	t.Cleanup(server.Close)
	return client{&rest.Config{Host: server.URL, BearerToken: "token"}, server.URL}
}

func connected(t *testing.T, c client) connection {
	t.Helper()
	through, err := c.connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(through.close)
	return through
}

func TestAsk(t *testing.T) {
	for name, test := range map[string]struct {
		status     int
		after      string
		turnedAway bool
	}{
		"later":   {http.StatusTooManyRequests, "1", true},
		"no time": {http.StatusTooManyRequests, "", false},
		"served":  {http.StatusOK, "1", false},
	} {
		c := testServer(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer token" || r.URL.RawQuery != never[1:] {
				t.Errorf("the request is %s with %v", r.URL, r.Header)
			}
			w.Header().Set("Retry-After", test.after)
			w.WriteHeader(test.status)
		})
		if a, err := c.ask(t.Context(), connected(t, c), never); err != nil || a.status != test.status || a.turnedAway() != test.turnedAway {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

func TestServed(t *testing.T) {
	for status, want := range map[int]bool{http.StatusOK: true, http.StatusTooManyRequests: false, http.StatusForbidden: false} {
		c := testServer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		if err := served(c)(t.Context(), nil); (err == nil) != want {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestInquiry(t *testing.T) {
	yes, no, other := answer{status: http.StatusOK, took: time.Second}, answer{status: http.StatusTooManyRequests, retryAfter: 1}, answer{status: http.StatusForbidden}
	for _, test := range []struct {
		what               string
		yes, no, others    int
		mostly, mostlyAway bool
	}{
		{"all", times, 0, 0, true, false}, {"but one", times - 1, 1, 0, true, false}, {"but one that fails", times - 1, 0, 1, true, false},
		{"half of them", times / 2, times / 2, 0, false, false}, {"few", 1, times - 1, 0, false, true}, {"none, for another reason", 0, 0, times, false, false},
	} {
		var i inquiry
		for range test.yes {
			i.count(yes, nil)
		}
		for range test.no {
			i.count(no, nil)
		}
		for n := range test.others {
			i.count(other, map[bool]error{true: errors.New("no answer")}[n%2 == 0])
		}
		if (i.mostlyServed() == nil) != test.mostly || (i.mostlyTurnedAway() == nil) != test.mostlyAway {
			t.Errorf("%s are served: %s", test.what, i)
		}
		if test.yes > 0 && i.longest != time.Second {
			t.Errorf("the longest took %s", i.longest)
		}
	}
}

// A server with few seats, whose clients wait until they go.
func TestFlood(t *testing.T) {
	const seats = 10
	var taken atomic.Int64
	c := testServer(t, func(w http.ResponseWriter, r *http.Request) {
		defer taken.Add(-1)
		if taken.Add(1) > seats {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		<-r.Context().Done()
	})
	ctx, end := context.WithCancel(t.Context())
	f := &flood{end: end, through: []connection{connected(t, c)}}
	if f.turnedAway(ctx, nil) == nil {
		t.Error("it is turned away before it begins")
	}
	f.begin(ctx, c)
	for start := time.Now(); f.turned.Load() < requestsEach-seats && time.Since(start) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
	}
	if err := f.turnedAway(ctx, nil); err != nil {
		t.Error(err)
	}
	f.stop()
	f.stop()
	if f.waited.Load()+f.unanswered.Load() > 0 {
		t.Errorf("%s", f)
	}
}
