package stop

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serve answers the API for instant queries as Prometheus would, with a result of a type.
func serve(t *testing.T, kind, result string) string {
	return handle(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":%q,"result":%s}}`, kind, result)
	})
}

func handle(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// once asks a query, and not again.
func once(t *testing.T, q Query) Finding {
	t.Helper()
	findings := Watch(t.Context(), []Query{q}, time.Hour).Findings()
	if len(findings) != 1 {
		t.Fatalf("want one finding, got %+v", findings)
	}
	return findings[0]
}

func TestPrometheus(t *testing.T) {
	series := func(values ...string) string {
		for i, v := range values {
			values[i] = fmt.Sprintf(`{"metric":{"n":"%d"},"value":[1764000000.1,%q]}`, i, v)
		}
		return "[" + strings.Join(values, ",") + "]"
	}
	for _, c := range []struct {
		name, kind, result string
		above, below       *float64
		want               Finding
	}{
		{"a scalar at its limit", "scalar", `[1764000000.1,"2"]`, ptr(2), nil, Finding{Value: "2", Limit: "at most 2"}},
		{"a scalar above", "scalar", `[1764000000.1,"2.5"]`, ptr(2), nil, Finding{Value: "2.5", Limit: "at most 2", Met: true}},
		{"one series at its limit", "vector", series("2"), nil, ptr(2), Finding{Value: "2", Limit: "at least 2"}},
		{"one series below", "vector", series("1"), nil, ptr(2), Finding{Value: "1", Limit: "at least 2", Met: true}},
		{"all series within", "vector", series("2", "3"), ptr(3), ptr(2), Finding{Value: "2, one of 2 series", Limit: "at least 2 and at most 3"}},
		{"one of the series above", "vector", series("2", "4"), ptr(3), ptr(2), Finding{Value: "4, one of 2 series", Limit: "at least 2 and at most 3", Met: true}},
		{"one of the series below", "vector", series("2", "1", "3"), ptr(3), ptr(2), Finding{Value: "1, one of 3 series", Limit: "at least 2 and at most 3", Met: true}},
		{"endlessly above", "vector", series("+Inf"), ptr(3), nil, Finding{Value: "+Inf", Limit: "at most 3", Met: true}},
		{"no number", "vector", series("1", "NaN"), ptr(3), nil, Finding{Value: "NaN, one of 2 series", Limit: "at most 3", Met: true}},
		{"no series", "vector", `[]`, ptr(3), nil, Finding{Value: "cannot be read: the query has no result", Limit: "at most 3", Met: true}},
		{"a histogram", "vector", `[{"metric":{},"histogram":[1,{}]}]`, ptr(3), nil, Finding{Value: "cannot be read: a series has no value: want numbers, not histograms", Limit: "at most 3", Met: true}},
		{"a range", "matrix", `[]`, ptr(3), nil, Finding{Value: `cannot be read: the result is a "matrix": want an instant vector or a scalar`, Limit: "at most 3", Met: true}},
		{"a word", "scalar", `[1,"two"]`, ptr(3), nil, Finding{Value: "cannot be read: a sample's value is no number", Limit: "at most 3", Met: true}},
		{"no pair", "scalar", `["2"]`, ptr(3), nil, Finding{Value: "cannot be read: a sample is no pair of time and value", Limit: "at most 3", Met: true}},
		{"no limit", "scalar", `[1,"2"]`, nil, nil, Finding{Value: "cannot be read: the query has no limit", Met: true}},
	} {
		c.want.Name = "condition"
		got := once(t, Query{"condition", serve(t, c.kind, c.result), "up", c.above, c.below})
		if got != c.want {
			t.Errorf("%s: want %+v, got %+v", c.name, c.want, got)
		}
	}
}

func TestWhatIsAsked(t *testing.T) {
	var got atomic.Pointer[http.Request]
	url := handle(t, func(w http.ResponseWriter, r *http.Request) {
		got.Store(r)
		fmt.Fprint(w, `{"status":"success","data":{"resultType":"scalar","result":[1,"0"]}}`)
	})
	url = strings.Replace(url, "http://", "http://me:secret@", 1) + "/prefix/"
	if f := once(t, Query{"condition", url, `sum(rate(a{b="c"}[1m])) + 1`, ptr(1), nil}); f.Met {
		t.Fatalf("got %+v", f)
	}
	r := got.Load()
	user, password, _ := r.BasicAuth()
	if r.Method != http.MethodGet || r.URL.Path != "/prefix/api/v1/query" || r.URL.Query().Get("query") != `sum(rate(a{b="c"}[1m])) + 1` || user != "me" || password != "secret" {
		t.Errorf("got %s %s of %s:%s", r.Method, r.URL, user, password)
	}
}

func TestWhatCannotBeReadIsMetAndTellsNoSecret(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	answer := func(status int, body string) string {
		return handle(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/login?token=secret")
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		})
	}
	good := `{"status":"success","data":{"resultType":"scalar","result":[1,"0"]}}`
	for _, c := range []struct{ name, url, want string }{
		{"nobody there", closed.URL, "connection refused"},
		{"a bad query", answer(400, good), "it answers 400 Bad Request"},
		{"no permission", answer(401, good), "it answers 401 Unauthorized"},
		{"a form to log in", answer(302, good), "it answers 302 Found"},
		{"no content", answer(204, ""), "it answers 204"},
		{"a page", answer(200, "<html>"), "none of Prometheus"},
		{"half an answer", answer(200, good[:40]), "none of Prometheus"},
		{"an endless answer", answer(200, strings.Repeat(" ", maxAnswer)+good), "none of Prometheus"},
		{"an error", answer(200, `{"status":"error"}`), `status is "error"`},
		{"nothing in it", answer(200, `{"status":"success","data":{"resultType":"scalar"}}`), "cannot be read"},
		{"a null", answer(200, `{"status":"success","data":{"resultType":"vector","result":null}}`), "no result"},
		{"no address", "http://[::1", "want an address"},
		{"another scheme", "ftp://localhost", "want an address"},
	} {
		url := strings.Replace(c.url, "://", "://me:secret@", 1)
		f := once(t, Query{"condition", url, "up", ptr(3), nil})
		text := fmt.Sprint(f)
		if !f.Met || !strings.HasPrefix(f.Value, "cannot be read: ") || !strings.Contains(f.Value, c.want) {
			t.Errorf("%s: want %q, got %+v", c.name, c.want, f)
		}
		if strings.Contains(text, "secret") || strings.Contains(text, "me:") {
			t.Errorf("%s: credentials are told: %s", c.name, text)
		}
	}
}

func TestASingleFailureIsAskedAgain(t *testing.T) {
	for failures, met := range map[int64]bool{1: false, 2: true} {
		var requests atomic.Int64
		url := handle(t, func(w http.ResponseWriter, _ *http.Request) {
			if requests.Add(1) <= failures {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			fmt.Fprint(w, `{"status":"success","data":{"resultType":"scalar","result":[1,"0"]}}`)
		})
		if f := once(t, Query{"condition", url, "up", ptr(3), nil}); f.Met != met || requests.Load() != 2 {
			t.Errorf("%d failures: got %+v after %d requests", failures, f, requests.Load())
		}
	}
}

func TestAnAnswerThatTakesTooLong(t *testing.T) {
	const timeout = time.Second
	url := handle(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	good := serve(t, "scalar", `[1,"0"]`)
	begun := time.Now()
	got := watch(t.Context(), []Query{{"hangs", url, "up", ptr(3), nil}, {"answers", good, "up", ptr(3), nil}}, time.Hour, timeout).Findings()
	if took := time.Since(begun); took < 2*timeout || took > 5*timeout {
		t.Errorf("took %s", took)
	}
	want := []Finding{{"hangs", "cannot be read: no answer within 1s", "at most 3", true}, {"answers", "0", "at most 3", false}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestAnswersGetOld(t *testing.T) {
	now := time.Now()
	q := Query{Name: "condition", Above: ptr(3)}
	for age, met := range map[time.Duration]bool{0: false, 3 * time.Second: false, 3*time.Second + 1: true, time.Hour: true} {
		if f := q.judge(answer{at: now.Add(-age), values: []float64{0}}, now, 3*time.Second); f.Met != met {
			t.Errorf("%s: got %+v", age, f)
		}
	}
	if f := q.judge(answer{}, now, 3*time.Second); !f.Met || f.Value != "cannot be read: there has been no answer" {
		t.Errorf("no answer: got %+v", f)
	}
}

// until waits for a finding.
func until(t *testing.T, w *Watcher, what string, as func(Finding) bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case <-ticker.C:
			if as(w.Findings()[0]) {
				return
			}
		case <-timeout:
			t.Fatalf("not %s: %+v", what, w.Findings())
		}
	}
}

func TestWatchGoesOnUntilItsEnd(t *testing.T) {
	var value, failing atomic.Int64
	url := handle(t, func(w http.ResponseWriter, _ *http.Request) {
		if failing.Load() > 0 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"scalar","result":[1,"%d"]}}`, value.Load())
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := Watch(ctx, []Query{{"condition", url, "up", ptr(3), nil}}, 200*time.Millisecond)
	until(t, w, "well", func(f Finding) bool { return !f.Met })
	value.Store(7)
	until(t, w, "above", func(f Finding) bool { return f.Met && f.Value == "7" })
	failing.Store(1)
	until(t, w, "failing", func(f Finding) bool { return f.Met && strings.Contains(f.Value, "500") })
	value.Store(1)
	failing.Store(0)
	until(t, w, "well again", func(f Finding) bool { return !f.Met && f.Value == "1" })
	cancel()
	until(t, w, "too old", func(f Finding) bool { return f.Met && strings.Contains(f.Value, "old") })
}

func TestTheEndOfTheWatchLeavesTheFormerAnswer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var requests atomic.Int64
	url := handle(t, func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) > 1 {
			cancel()
			<-r.Context().Done()
		}
		fmt.Fprint(w, `{"status":"success","data":{"resultType":"scalar","result":[1,"0"]}}`)
	})
	a := &asked{Query: Query{"condition", url, "up", ptr(3), nil}, timeout: time.Minute}
	a.ask(ctx)
	former := a.latest
	a.ask(ctx)
	if requests.Load() != 2 || !reflect.DeepEqual(a.latest, former) {
		t.Errorf("got %+v after %d requests", a.latest, requests.Load())
	}
}

func TestAWatchThatHasEndedIsNotJudged(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := Watch(ctx, []Query{{"condition", serve(t, "scalar", `[1,"0"]`), "up", ptr(3), nil}}, 0)
	if f := w.Findings()[0]; !f.Met {
		t.Errorf("got %+v", f)
	}
	if got := Watch(t.Context(), nil, time.Second).Findings(); len(got) > 0 {
		t.Errorf("got %+v", got)
	}
}
