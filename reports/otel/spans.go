package otel

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"faultline/reports/record"
)

// spansOf are the spans of the run's trace, each after those within it.
func spansOf(ctx context.Context, run *record.Run, about *resource.Resource) []sdk.ReadOnlySpan {
	done := &ended{}
	provider := sdk.NewTracerProvider(sdk.WithResource(about), sdk.WithSampler(sdk.AlwaysSample()),
		sdk.WithIDGenerator(newIDs(run)), sdk.WithSpanProcessor(done))
	t := tracer{provider.Tracer("faultline")}
	t.run(ctx, run)
	return done.spans
}

// ended keeps the spans that have ended, to be sent when all have.
type ended struct{ spans []sdk.ReadOnlySpan }

func (*ended) OnStart(context.Context, sdk.ReadWriteSpan) {}
func (e *ended) OnEnd(s sdk.ReadOnlySpan)                 { e.spans = append(e.spans, s) }
func (*ended) ForceFlush(context.Context) error           { return nil }
func (*ended) Shutdown(context.Context) error             { return nil }

type tracer struct{ trace.Tracer }

func (t tracer) start(ctx context.Context, name string, at time.Time, about ...attribute.KeyValue) (context.Context, trace.Span) {
	return t.Start(ctx, valid(name), trace.WithTimestamp(at), trace.WithAttributes(about...))
}

// phase is a span with nothing in it.
func (t tracer) phase(ctx context.Context, name string, from, to time.Time) {
	_, span := t.start(ctx, name, from)
	span.End(trace.WithTimestamp(to))
}

func (t tracer) run(ctx context.Context, run *record.Run) {
	s := record.Summarise(run)
	e := run.Environment
	ctx, span := t.start(ctx, "run", run.StartedAt,
		text("faultline.run", run.ID), text("faultline.outcome", string(s.Outcome)), text("faultline.profile", e.Profile),
		attribute.Int64("faultline.seed", e.Seed), text("kubernetes.version", e.Kubernetes), text("etcd.version", e.Etcd), text("faultline.engine", e.Engine))
	defer span.End(trace.WithTimestamp(after(run.StartedAt, run.Seconds)))
	setStatus(span, s.ExitStatus == 0, string(s.Outcome))
	for i := range run.Experiments {
		t.experiment(ctx, &run.Experiments[i])
	}
}

func (t tracer) experiment(ctx context.Context, e *record.Experiment) {
	about := []attribute.KeyValue{text("faultline.experiment", e.ID), texts("faultline.claims", e.Claims), text("faultline.topology", e.Topology),
		text("faultline.cluster", e.Cluster), text("faultline.verdict", string(e.Verdict)), text("faultline.command", e.Command)}
	if seconds, ok := e.Recovery(); ok {
		about = append(about, attribute.Float64("faultline.recovery.seconds", seconds))
	}
	if e.Drift != "" {
		about = append(about, text("faultline.drift", e.Drift))
	}
	ctx, span := t.start(ctx, e.Name, e.StartedAt, about...)
	defer span.End(trace.WithTimestamp(after(e.StartedAt, e.Seconds)))
	setStatus(span, e.Verdict.Passes(), string(e.Verdict)+": "+e.Reason)
	for _, o := range e.Observations {
		observe(span, after(e.StartedAt, o.At), o)
	}
	t.phase(ctx, "steady state", e.StartedAt, after(e.StartedAt, firstFault(e)))
	for _, f := range e.Faults {
		t.fault(ctx, e, f)
	}
}

// firstFault is when the steady state ends: with the experiment where nothing is
// broken in it.
func firstFault(e *record.Experiment) float64 {
	first := e.Seconds
	for _, f := range e.Faults {
		for _, at := range f.Instants {
			first = min(first, at)
		}
	}
	return first
}

// fault has a phase for each state that the fault was in. A state lasts until the
// next one, and the last until the experiment ends.
func (t tracer) fault(ctx context.Context, e *record.Experiment, f record.Fault) {
	var states []string
	for _, state := range record.FaultStates {
		if _, reached := f.Instants[state]; reached {
			states = append(states, state)
		}
	}
	if len(states) == 0 {
		return
	}
	at := func(i int) time.Time {
		if i == len(states) {
			return after(e.StartedAt, max(e.Seconds, f.Instants[states[i-1]]))
		}
		return after(e.StartedAt, f.Instants[states[i]])
	}
	ctx, span := t.start(ctx, f.Name, at(0), text("faultline.fault", f.ID), text("faultline.fault.kind", f.Kind),
		text("faultline.node", f.Node), text("faultline.target", f.Target), text("faultline.fault.state", f.State), text("faultline.proof", f.Proof))
	defer span.End(trace.WithTimestamp(at(len(states))))
	setStatus(span, slices.Contains(states, "landed"), "not proven to have landed")
	for i, state := range states {
		t.phase(ctx, state, at(i), at(i+1))
	}
}

func observe(span trace.Span, at time.Time, o record.Observation) {
	about := []attribute.KeyValue{text("faultline.expected", o.Expected), text("faultline.observed", o.Observed), attribute.Bool("faultline.ok", o.OK)}
	if o.Claim != "" {
		about = append(about, text("faultline.claim", o.Claim))
	}
	if o.Seconds != nil {
		about = append(about, attribute.Float64("faultline.seconds", *o.Seconds))
	}
	span.AddEvent("observation", trace.WithTimestamp(at), trace.WithAttributes(about...))
}

func setStatus(span trace.Span, ok bool, why string) {
	if ok {
		span.SetStatus(codes.Ok, "")
		return
	}
	span.SetStatus(codes.Error, valid(why))
}

func after(start time.Time, seconds float64) time.Time {
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

func text(key, value string) attribute.KeyValue { return attribute.String(key, valid(value)) }

func texts(key string, values []string) attribute.KeyValue {
	clean := make([]string, len(values))
	for i, v := range values {
		clean[i] = valid(v)
	}
	return attribute.StringSlice(key, clean)
}

// valid keeps one bad byte from making the whole trace one that cannot be encoded.
func valid(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

// ids follow from the run, so that a run which is exported again is no second one.
type ids struct {
	trace trace.TraceID
	spans uint64
}

func newIDs(run *record.Run) *ids {
	sum := sha256.Sum256([]byte(run.ID + "\n" + run.StartedAt.UTC().Format(time.RFC3339Nano)))
	return &ids{trace: trace.TraceID(sum[:16])}
}

func (i *ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	return i.trace, i.NewSpanID(ctx, i.trace)
}

func (i *ids) NewSpanID(_ context.Context, of trace.TraceID) trace.SpanID {
	i.spans++
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(of[:], i.spans))
	return trace.SpanID(sum[:8])
}
