package prometheus_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"faultline/reports/internal/fixture"
	"faultline/reports/prometheus"
	"faultline/reports/record"
)

// render writes the metrics and reads them back with Prometheus' own parser.
func render(t *testing.T, run *record.Run) (map[string]*dto.MetricFamily, string) {
	t.Helper()
	var b bytes.Buffer
	if err := prometheus.Write(&b, run); err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(b.String()))
	if err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	return families, b.String()
}

// value finds the one metric with these labels, given as name, value, name, value.
func value(t *testing.T, family *dto.MetricFamily, labels ...string) float64 {
	t.Helper()
	var found []float64
	for _, m := range family.GetMetric() {
		all := map[string]string{}
		for _, l := range m.GetLabel() {
			all[l.GetName()] = l.GetValue()
		}
		matches := true
		for i := 0; i < len(labels); i += 2 {
			matches = matches && all[labels[i]] == labels[i+1]
		}
		if matches {
			found = append(found, m.GetGauge().GetValue())
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s has %d metrics with %q", family.GetName(), len(found), labels)
	}
	return found[0]
}

func TestRealisticRun(t *testing.T) {
	run := fixture.Run()
	run.Sabotaged = []record.Sabotaged{{Name: "lies"}, {Name: "nobody evicts"}}
	families, text := render(t, run)
	for _, test := range []struct {
		name   string
		want   float64
		labels []string
	}{
		{"faultline_run_info", 1, []string{"run", "20261121-201104-7f3a", "kubernetes", "v1.37.2", "etcd", "3.7.0", "faultline", "v0.1.0"}},
		{"faultline_run_outcome", 1, []string{"outcome", "claim-broken"}},
		{"faultline_run_exit_status", 1, nil},
		{"faultline_run_start_time_seconds", 1795291864, nil},
		{"faultline_run_duration_seconds", 702.4, nil},
		{"faultline_claims", 3, []string{"verdict", "inconclusive"}},
		{"faultline_claims", 4, []string{"verdict", "untested"}},
		{"faultline_experiments", 10, []string{"verdict", "held"}},
		{"faultline_experiments", 1, []string{"verdict", "broken"}},
		{"faultline_experiments_skipped", 0, nil},
		{"faultline_sabotage_runs", 2, nil},
		{"faultline_experiment_recovery_seconds", 3.62, []string{"experiment", "refuses writes without a majority, and forgets nothing it acknowledged",
			"topology", "three-host-stacked", "claims", "ETCD-02,ETCD-08,ETCD-05"}},
	} {
		if got := value(t, families[test.name], test.labels...); got != test.want {
			t.Errorf("%s%q is %g, want %g", test.name, test.labels, got, test.want)
		}
	}
	want := 0
	for _, e := range fixture.Run().Experiments {
		want += len(e.Probes)
	}
	if got := len(families["faultline_probe_longest_outage_seconds"].GetMetric()); got != want {
		t.Errorf("got the outages of %d probes, want %d", got, want)
	}
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if !strings.HasPrefix(name, "faultline_") || !strings.Contains(text, "# HELP "+name+" ") || !strings.Contains(text, "# TYPE "+name+" gauge\n") {
			t.Errorf("%s lacks its prefix, its help or its type", name)
		}
	}
}

// A control experiment has no recovery time: none is not zero.
func TestWhatWasNotMeasuredIsNotTold(t *testing.T) {
	run := &record.Run{Experiments: []record.Experiment{{ID: "e", Verdict: record.Held}}}
	families, _ := render(t, run)
	if f := families["faultline_experiment_recovery_seconds"]; f != nil {
		t.Errorf("got %v", f)
	}
}

func TestLabelsAreEscaped(t *testing.T) {
	hostile := "a \"quoted\" name\nfaultline_run_exit_status 0\n\\ } 1"
	run := &record.Run{ID: hostile, Experiments: []record.Experiment{{
		ID: "e", Name: hostile, Topology: "bad \xff", Verdict: record.Broken, Probes: []record.Probe{{Name: hostile, Vantage: "n1", LongestOut: 7}}}}}
	families, text := render(t, run)
	if got := value(t, families["faultline_probe_longest_outage_seconds"], "experiment", hostile, "probe", hostile, "topology", "bad \ufffd"); got != 7 {
		t.Errorf("got %g", got)
	}
	if got := value(t, families["faultline_run_exit_status"]); got != 1 {
		t.Errorf("a label changed the exit status to %g in\n%s", got, text)
	}
}

func TestWriteErrorIsReported(t *testing.T) {
	if err := prometheus.Write(failing{}, fixture.Run()); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
