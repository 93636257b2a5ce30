// Package otel exports a run as one OpenTelemetry trace: the run, its experiments,
// and in each the phases of steady state and of every fault.
package otel

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"faultline/reports/record"
)

const (
	patience  = 30 * time.Second // with all tries
	batchSize = 512              // spans in a request, as the SDK has it
)

// Export sends the trace of the run, after the run, to the endpoint that the usual
// environment variables name (OTEL_EXPORTER_OTLP_ENDPOINT or
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT; those of headers, certificates, compression
// and resource attributes count too). Where none is named it does nothing. The same
// run is the same trace, however often it is exported.
func Export(ctx context.Context, run *record.Run) error {
	wanted, err := configured(os.Getenv)
	if err != nil {
		return fmt.Errorf("export the trace of the run: %w", err)
	}
	if !wanted {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := export(ctx, run); err != nil {
		return fmt.Errorf("export the trace of the run: %w", err)
	}
	return nil
}

func export(ctx context.Context, run *record.Run) error {
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "faultline"), text("service.version", run.Environment.FaultlineVersion)),
		resource.WithFromEnv())
	if err != nil {
		return err
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
		Enabled: true, InitialInterval: time.Second, MaxInterval: 5 * time.Second, MaxElapsedTime: patience,
	}))
	if err != nil {
		return err
	}
	spans := spansOf(ctx, run, about)
	return errors.Join(send(ctx, exporter, spans), exporter.Shutdown(ctx))
}

// send gives up at the first batch that fails: the others would, too.
func send(ctx context.Context, exporter *otlptrace.Exporter, spans []sdk.ReadOnlySpan) error {
	sent := 0
	for batch := range slices.Chunk(spans, batchSize) {
		if err := exporter.ExportSpans(ctx, batch); err != nil {
			return fmt.Errorf("%d of %d spans were accepted: %w", sent, len(spans), err)
		}
		sent += len(batch)
	}
	return nil
}

// configured tells whether the environment names an endpoint. The exporter reads
// the same variables, and would take another endpoint for one that is malformed.
func configured(getenv func(string) string) (bool, error) {
	if getenv("OTEL_SDK_DISABLED") == "true" || getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false, nil
	}
	named := false
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		value := getenv(name)
		if value == "" {
			continue
		}
		named = true
		// The value is not repeated: it may carry a password.
		if u, err := url.Parse(value); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return false, fmt.Errorf("%s is no URL like http://localhost:4318", name)
		}
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"} {
		if protocol := getenv(name); named && protocol != "" && protocol != "http/protobuf" {
			return false, fmt.Errorf("%s=%q: only http/protobuf is spoken, which collectors take on port 4318", name, protocol)
		}
	}
	return named, nil
}
