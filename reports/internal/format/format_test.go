package format_test

import (
	"testing"

	"faultline/reports/internal/format"
	"faultline/reports/record"
)

func TestSeconds(t *testing.T) {
	for seconds, want := range map[float64]string{
		0: "0 s", 0.00042: "0.42 ms", 0.0042: "4.2 ms", 0.214: "214 ms", 0.9996: "1.00 s", 3.414: "3.41 s", 9.999: "10.0 s",
		41.23: "41.2 s", 99.96: "1m40s", 245: "4m05s", 3599.7: "1h00m", 4000: "1h06m", -3: "-3.00 s",
	} {
		if got := format.Seconds(seconds); got != want {
			t.Errorf("%g s is written %q, want %q", seconds, got, want)
		}
	}
}

func TestBounds(t *testing.T) {
	lower, upper := 15.0, 30.0
	for _, test := range []struct {
		lower, upper *float64
		want         string
	}{
		{nil, nil, ""}, {&lower, nil, "at least 15.0 s"}, {nil, &upper, "at most 30.0 s"}, {&lower, &upper, "15.0 s to 30.0 s"},
	} {
		if got := format.Bounds(record.Observation{Lower: test.lower, Upper: test.upper}); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestCount(t *testing.T) {
	if got := format.Count(1, "claim") + ", " + format.Count(0, "claim"); got != "1 claim, 0 claims" {
		t.Error(got)
	}
}

func TestCounts(t *testing.T) {
	if got := format.Counts(record.Counts{Total: 5, Held: 2, Broken: 1, Untested: 2}); got != "2 held, 1 broken, 2 untested" {
		t.Error(got)
	}
	if got := format.Counts(record.Counts{}); got != "none" {
		t.Error(got)
	}
}

func TestMachine(t *testing.T) {
	for want, e := range map[string]record.Environment{
		"an unknown machine":          {},
		"1 core":                      {Cores: 1},
		"2 cores, 1.5 GiB, slack 1.5": {Cores: 2, MemoryBytes: 3 << 29, Slack: 1.5},
		"podman, kernel 6.1":          {Engine: "podman", Kernel: "6.1"},
	} {
		if got := format.Machine(e); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
