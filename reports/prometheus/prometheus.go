// Package prometheus renders a record as metrics in the text format, for the
// textfile collector of Prometheus' node exporter.
package prometheus

import (
	"fmt"
	"io"
	"slices"
	"strings"

	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"faultline/reports/record"
)

// Write writes the run's metrics. All of them begin with faultline_.
func Write(w io.Writer, run *record.Run) error {
	m := metrics{client.NewRegistry()}
	s := record.Summarise(run)
	m.run(run, s)
	m.counts(run, s)
	m.measurements(run)
	families, err := m.Gather()
	if err != nil {
		return fmt.Errorf("gather the metrics: %w", err)
	}
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(w, family); err != nil {
			return fmt.Errorf("write the metrics: %w", err)
		}
	}
	return nil
}

type metrics struct{ *client.Registry }

// set gives a metric a value for one set of labels.
type set func(value float64, labels ...string)

func (m metrics) gauge(name, help string, labels ...string) set {
	vec := client.NewGaugeVec(client.GaugeOpts{Namespace: "faultline", Name: name, Help: help}, labels)
	m.MustRegister(vec)
	return func(value float64, labels ...string) {
		clean := make([]string, len(labels))
		for i, text := range labels {
			clean[i] = strings.ToValidUTF8(text, "\ufffd") // others are refused
		}
		vec.WithLabelValues(clean...).Set(value)
	}
}

func (m metrics) run(run *record.Run, s record.Summary) {
	e := run.Environment
	m.gauge("run_info", "What the figures of the run depend on.",
		"run", "faultline", "kubernetes", "etcd", "node_image", "load_balancer", "engine", "kernel", "profile")(
		1, run.ID, e.FaultlineVersion, e.Kubernetes, e.Etcd, e.NodeImage, e.LoadBalancer, e.Engine, e.Kernel, e.Profile)
	m.gauge("run_outcome", "The one word that the run comes to; its value is always 1.", "outcome")(1, string(s.Outcome))
	m.gauge("run_exit_status", "The exit status of the run; 0 when everything held.")(float64(s.ExitStatus))
	m.gauge("run_start_time_seconds", "When the run began, in seconds since 1970.")(float64(run.StartedAt.UnixMilli()) / 1000)
	m.gauge("run_duration_seconds", "How long the run took.")(run.Seconds)
}

func (m metrics) counts(run *record.Run, s record.Summary) {
	claims := m.gauge("claims", "Claims by the verdict of the run.", "verdict")
	for _, v := range append(slices.Clone(record.Verdicts), record.Untested) {
		claims(float64(s.Claims.Of(v)), string(v))
	}
	experiments := m.gauge("experiments", "Experiments by their verdict.", "verdict")
	for _, v := range record.Verdicts {
		experiments(float64(s.Experiments.Of(v)), string(v))
	}
	m.gauge("experiments_skipped", "Experiments that were left out.")(float64(len(run.Skipped)))
	m.gauge("sabotage_runs", "Runs that test the suite itself and turned red, as they must.")(float64(s.Sabotaged))
	m.gauge("faults_not_restored", "Faults whose undo could not be proven.")(float64(len(run.NotRestored)))
}

// measurements name an experiment by its text: its id is another one in each run.
func (m metrics) measurements(run *record.Run) {
	recovery := m.gauge("experiment_recovery_seconds", "The recovery time of an experiment.", "experiment", "topology", "claims")
	outage := m.gauge("probe_longest_outage_seconds", "The longest time of a probe without a success, in an experiment.",
		"experiment", "topology", "probe", "vantage")
	for i := range run.Experiments {
		e := &run.Experiments[i]
		if seconds, ok := e.Recovery(); ok {
			recovery(seconds, e.Name, e.Topology, strings.Join(e.Claims, ","))
		}
		for _, p := range e.Probes {
			outage(p.LongestOut, e.Name, e.Topology, p.Name, p.Vantage)
		}
	}
}
