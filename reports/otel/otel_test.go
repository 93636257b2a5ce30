package otel_test

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"faultline/reports/internal/fixture"
	"faultline/reports/otel"
	"faultline/reports/record"
)

// receiver is a collector that keeps what it was sent.
type receiver struct {
	*httptest.Server
	paths    []string
	token    string
	resource map[string]string
	spans    []*wire.Span
	answer   func(http.ResponseWriter)
}

func listen(t *testing.T, answer func(http.ResponseWriter)) *receiver {
	t.Helper()
	for _, name := range []string{"ENDPOINT", "TRACES_ENDPOINT", "PROTOCOL", "TRACES_PROTOCOL", "HEADERS", "COMPRESSION"} {
		t.Setenv("OTEL_EXPORTER_OTLP_"+name, "")
	}
	for _, name := range []string{"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"} {
		t.Setenv(name, "")
	}
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { r.take(t, w, q) }))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) take(t *testing.T, w http.ResponseWriter, q *http.Request) {
	r.paths = append(r.paths, q.URL.Path)
	r.token = q.Header.Get("x-token")
	if r.answer != nil {
		r.answer(w)
		return
	}
	body := io.Reader(q.Body)
	if q.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(q.Body)
		if err != nil {
			t.Error(err)
			return
		}
		body = unzipped
	}
	data, err := io.ReadAll(body)
	if err != nil {
		t.Error(err)
	}
	var request collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(data, &request); err != nil {
		t.Errorf("%s: %v", q.Header.Get("Content-Type"), err)
	}
	for _, of := range request.ResourceSpans {
		r.resource = map[string]string{}
		for _, a := range of.Resource.Attributes {
			r.resource[a.Key] = a.Value.GetStringValue()
		}
		for _, scope := range of.ScopeSpans {
			r.spans = append(r.spans, scope.Spans...)
		}
	}
}

// children are the spans of one parent, in order of their start.
func (r *receiver) children(parent []byte) []*wire.Span {
	var all []*wire.Span
	for _, s := range r.spans {
		if string(s.ParentSpanId) == string(parent) {
			all = append(all, s)
		}
	}
	return all
}

func attributes(s *wire.Span) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes {
		all[a.Key] = a.Value.GetStringValue()
		for _, v := range a.Value.GetArrayValue().GetValues() {
			all[a.Key] += v.GetStringValue() + " "
		}
	}
	return all
}

func TestTraceOfARun(t *testing.T) {
	r := listen(t, nil)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.URL)
	run := fixture.Run()
	if err := otel.Export(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if r.paths[0] != "/v1/traces" || r.resource["service.name"] != "faultline" || r.resource["service.version"] != "v0.1.0" {
		t.Errorf("got %v, %v", r.paths, r.resource)
	}
	roots := r.children(nil)
	if len(roots) != 1 {
		t.Fatalf("got %d roots", len(roots))
	}
	root := roots[0]
	if root.Status.Code != wire.Status_STATUS_CODE_ERROR || root.Status.Message != "claim-broken" || attributes(root)["faultline.run"] != run.ID {
		t.Errorf("got %v", root)
	}
	experiments := r.children(root.SpanId)
	if len(experiments) != len(run.Experiments) {
		t.Fatalf("got %d experiments", len(experiments))
	}
	for i, s := range experiments {
		checkExperiment(t, r, s, run.Experiments[i])
	}
}

func checkExperiment(t *testing.T, r *receiver, s *wire.Span, e record.Experiment) {
	t.Helper()
	about := attributes(s)
	if s.Name != e.Name || about["faultline.verdict"] != string(e.Verdict) || about["faultline.claims"] != strings.Join(e.Claims, " ")+" " {
		t.Errorf("got %s with %v", s.Name, about)
	}
	if (s.Status.Code == wire.Status_STATUS_CODE_OK) != e.Verdict.Passes() || !e.Verdict.Passes() && s.Status.Message != string(e.Verdict)+": "+e.Reason {
		t.Errorf("%s is %s: got %v", e.Name, e.Verdict, s.Status)
	}
	if len(s.Events) != len(e.Observations) || !near(s.Events[0].TimeUnixNano, e.StartedAt, e.Observations[0].At) {
		t.Errorf("%s: got the events %v", e.Name, s.Events)
	}
	phases := r.children(s.SpanId)
	if len(phases) != 2 || phases[0].Name != "steady state" || !near(phases[0].EndTimeUnixNano, e.StartedAt, 9.1) {
		t.Fatalf("%s: got the phases %v", e.Name, phases)
	}
	fault := phases[1]
	if fault.Name != e.Faults[0].Name || fault.Status.Code != wire.Status_STATUS_CODE_OK {
		t.Errorf("%s: got the fault %v", e.Name, fault)
	}
	states := r.children(fault.SpanId)
	if len(states) != len(record.FaultStates) {
		t.Fatalf("%s: got the states %v", e.Name, states)
	}
	for i, state := range record.FaultStates {
		next := e.Seconds
		if i+1 < len(record.FaultStates) {
			next = e.Faults[0].Instants[record.FaultStates[i+1]]
		}
		if got := states[i]; got.Name != state || !near(got.StartTimeUnixNano, e.StartedAt, e.Faults[0].Instants[state]) || !near(got.EndTimeUnixNano, e.StartedAt, next) {
			t.Errorf("%s: %s: got %v", e.Name, state, got)
		}
	}
}

func near(got uint64, start time.Time, seconds float64) bool {
	return time.Duration(int64(got)-start.UnixNano()-int64(seconds*1e9)).Abs() < time.Microsecond
}

// A fault that was never proven is no success, and lasts as long as it is there.
func TestFaultThatDidNotLand(t *testing.T) {
	r := listen(t, nil)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.URL)
	run := &record.Run{ID: "r", StartedAt: fixture.Run().StartedAt, Seconds: 9, Experiments: []record.Experiment{{
		ID: "e", Name: "e", StartedAt: fixture.Run().StartedAt, Verdict: record.Inconclusive, Seconds: 8, Faults: []record.Fault{{Name: "kill \xff", State: "armed",
			Instants: map[string]float64{"planned": 1, "armed": 2}}, {Name: "refused", State: "planned"}}}}}
	if err := otel.Export(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range r.spans {
		names = append(names, s.Name)
		if s.Name == "kill \ufffd" && s.Status.Code != wire.Status_STATUS_CODE_ERROR {
			t.Errorf("got %v", s.Status)
		}
		if s.Name == "armed" && s.EndTimeUnixNano-s.StartTimeUnixNano != uint64(6*time.Second) {
			t.Errorf("armed lasts from %d to %d", s.StartTimeUnixNano, s.EndTimeUnixNano)
		}
	}
	if got := strings.Join(names, ", "); got != "steady state, planned, armed, kill \ufffd, e, run" {
		t.Errorf("got %s", got)
	}
}

func TestSameRunIsTheSameTrace(t *testing.T) {
	r := listen(t, nil)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.URL)
	for range 2 {
		if err := otel.Export(t.Context(), fixture.Run()); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	traces := map[string]bool{}
	for _, s := range r.spans {
		seen[hex.EncodeToString(s.SpanId)] = true
		traces[hex.EncodeToString(s.TraceId)] = true
	}
	if len(traces) != 1 || 2*len(seen) != len(r.spans) {
		t.Errorf("got %d traces, %d spans of %d", len(traces), len(seen), len(r.spans))
	}
	later := fixture.Run()
	later.ID = "another"
	if err := otel.Export(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	if last := r.spans[len(r.spans)-1]; traces[hex.EncodeToString(last.TraceId)] {
		t.Error("two runs are one trace")
	}
}

func TestLargeRunGoesInBatches(t *testing.T) {
	r := listen(t, nil)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.URL)
	if err := otel.Export(t.Context(), fixture.Large(200, 1)); err != nil {
		t.Fatal(err)
	}
	if want := 1 + 200*(1+1+1+len(record.FaultStates)); len(r.spans) != want || len(r.paths) != (want+511)/512 {
		t.Errorf("got %d spans of %d in %d requests", len(r.spans), want, len(r.paths))
	}
}

func TestUsualVariablesCount(t *testing.T) {
	r := listen(t, nil)
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": r.URL + "/elsewhere",
		"OTEL_EXPORTER_OTLP_HEADERS": "x-token=secret", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
		"OTEL_SERVICE_NAME": "nightly", "OTEL_RESOURCE_ATTRIBUTES": "team=storage",
	} {
		t.Setenv(name, value)
	}
	if err := otel.Export(t.Context(), fixture.Run()); err != nil {
		t.Fatal(err)
	}
	if r.paths[0] != "/elsewhere" || r.token != "secret" || r.resource["service.name"] != "nightly" || r.resource["team"] != "storage" || len(r.spans) == 0 {
		t.Errorf("got %v, %q, %v, %d spans", r.paths, r.token, r.resource, len(r.spans))
	}
}

func TestNothingIsSentUnasked(t *testing.T) {
	for name, test := range map[string]struct {
		endpoint bool
		env      string
	}{
		"no endpoint":     {false, ""},
		"only a protocol": {false, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"},
		"the SDK is off":  {true, "OTEL_SDK_DISABLED=true"},
		"no exporter":     {true, "OTEL_TRACES_EXPORTER=none"},
	} {
		t.Run(name, func(t *testing.T) {
			r := listen(t, nil)
			if test.endpoint {
				t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.URL)
			}
			if variable, value, found := strings.Cut(test.env, "="); found {
				t.Setenv(variable, value)
			}
			if err := otel.Export(t.Context(), fixture.Run()); err != nil || len(r.paths) > 0 {
				t.Errorf("got %v, %d requests", err, len(r.paths))
			}
		})
	}
}

func TestExportThatFailsTellsWhy(t *testing.T) {
	answer := func(status int, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/x-protobuf")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	partial, err := proto.Marshal(&collector.ExportTraceServiceResponse{
		PartialSuccess: &collector.ExportTracePartialSuccess{RejectedSpans: 3, ErrorMessage: "too old"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		answer    func(http.ResponseWriter)
		env, want string
	}{
		"an error":           {answer(http.StatusInternalServerError, "out of disk"), "", "out of disk"},
		"a missing token":    {answer(http.StatusUnauthorized, ""), "", "0 of 136 spans were accepted"},
		"some are rejected":  {answer(http.StatusOK, string(partial)), "", "too old"},
		"nobody listens":     {nil, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "connection refused"},
		"a malformed URL":    {nil, "OTEL_EXPORTER_OTLP_ENDPOINT=localhost:4318", "OTEL_EXPORTER_OTLP_ENDPOINT is no URL like http://localhost:4318"},
		"another protocol":   {nil, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", `OTEL_EXPORTER_OTLP_PROTOCOL="grpc": only http/protobuf`},
		"a malformed signal": {nil, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=/v1/traces", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is no URL"},
	} {
		t.Run(name, func(t *testing.T) {
			r := listen(t, test.answer)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.URL)
			if variable, value, found := strings.Cut(test.env, "="); found {
				t.Setenv(variable, value)
			}
			if err := otel.Export(t.Context(), fixture.Run()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestExportEndsWithItsContext(t *testing.T) {
	r := listen(t, func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }) // to be tried again
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.URL)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	started := time.Now()
	if err := otel.Export(ctx, fixture.Run()); err == nil || time.Since(started) > 5*time.Second {
		t.Errorf("got %v after %s", err, time.Since(started))
	}
}
