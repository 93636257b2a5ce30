package html

import (
	"slices"
	"strings"
	"testing"

	"faultline/reports/record"
)

func TestLatencyTable(t *testing.T) {
	l := func(p50, p99, most float64) record.Latencies {
		return record.Latencies{Count: 9, P50: p50, P99: p99, Max: most}
	}
	x := experiment{Experiment: &record.Experiment{Probes: []record.Probe{
		{Before: l(0.001, 0.01, 0.1), After: l(0.0021, 0.0122, 0.9)},
		{During: l(0.5, 0.5, 0.5)},
	}}}
	table := x.Latencies()
	if got, want := table.Rows[0].Figures, []string{"1.00", "10.0", "", "", "2.10", "12.2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := table.Rows[1].Figures, []string{"", "", "500", "500", "", ""}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	// Three decades from 1 ms to 1 s on 300 units.
	if bars := string(table.Rows[0].Bars); !strings.Contains(bars, `<path class="l0" d="M0 2H100M200 2h2"/>`) || strings.Contains(bars, "l1") {
		t.Errorf("the bars are %s", bars)
	}
	for _, label := range []string{">1 ms<", ">10 ms<", ">100 ms<", ">1 s<"} {
		if !strings.Contains(string(table.Axis), label) {
			t.Errorf("%s is not on the axis %s", label, table.Axis)
		}
	}
	if none := (experiment{Experiment: &record.Experiment{Probes: []record.Probe{{Name: "write"}}}}); none.Latencies() != nil {
		t.Error("latencies are shown where nothing succeeded")
	}
}

func TestMilliseconds(t *testing.T) {
	for seconds, want := range map[float64]string{0.0000421: "0.04", 0.00999: "9.99", 0.009996: "10.0", 0.0999: "99.9", 0.09996: "100", 12.3456: "12346"} {
		if got := milliseconds(1, seconds); got != want {
			t.Errorf("%g s: got %q, want %q", seconds, got, want)
		}
	}
}
