package drill

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"faultline/clusters/progress"
	"faultline/reports/record"
	"faultline/suites/rundir"
)

func TestASabotageRunIsCountedAndKeepsNoRecord(t *testing.T) {
	gomega.RegisterTestingT(t)
	dir := rundir.Dir{Run: "run", Results: t.TempDir(), State: t.TempDir()}
	if err := os.MkdirAll(dir.Experiments(), 0o755); err != nil {
		t.Fatal(err)
	}
	bench = &Bench{Dir: dir, Progress: progress.New(io.Discard)}
	defer func() { bench = nil }()
	for i, discard := range []bool{true, false} {
		d := drillAt(t, 0)
		d.options.discard = discard
		d.experiment = record.Experiment{ID: []string{"e101", "e102"}[i], Verdict: record.Held}
		d.save()
		records, err := os.ReadDir(dir.Experiments())
		if err != nil || len(records) != i {
			t.Errorf("%d runs left %d records, want %d (%v)", i+1, len(records), i, err)
		}
		if done := dir.Done(); done != i+1 {
			t.Errorf("%d of %d runs are counted", done, i+1)
		}
	}
}

func TestWhatAnExperimentLeavesCountsForItself(t *testing.T) {
	bench, _ = used("")
	defer func() { bench = nil }()
	d := drillAt(t, 0)
	if err := d.proveAsNew(t.Context()); err == nil || bench.spoiled == "" {
		t.Errorf("a cluster that nobody remembers as new passes for one: %v, spoiled %q", err, bench.spoiled)
	}
	if o := d.experiment.Observations; len(o) != 1 || o[0].OK {
		t.Errorf("the record has %+v", o)
	}
	if err := d.proveAsNew(t.Context()); err != nil {
		t.Errorf("a cluster that goes anyway is looked at: %v", err)
	}
}

func TestAPromiseIsKeptUntilTheEnd(t *testing.T) {
	for _, sabotaged := range []bool{false, true} {
		d := drillAt(t, 0)
		d.options.discard = sabotaged
		d.promise("writes go on", func(time.Duration) error { return errors.New("they were interrupted") })
		if err := d.unkeptAtTheEnd(); (err == nil) != sabotaged {
			t.Errorf("sabotaged %t: %v", sabotaged, err)
		}
	}
}
