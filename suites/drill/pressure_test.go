package drill

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2/types"

	"faultline/reports/record"
	"faultline/suites/probe"
)

func TestPressureIsAShareOfTheTime(t *testing.T) {
	proc := t.TempDir()
	look := func(cpu, memory, disk int, at time.Duration) pressure {
		t.Helper()
		for resource, waited := range map[string]int{"cpu": cpu, "memory": memory, "io": disk} {
			account := fmt.Sprintf("some avg10=9.00 avg60=9.00 avg300=9.00 total=%d\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", waited)
			writeAccount(t, proc, resource, account)
		}
		p, err := pressureOf(proc, at)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	before := look(5_000_000, 0, 100, 2*time.Second)
	got := look(9_000_000, 0, 1_000_100, 12*time.Second).since(before)
	if want := (record.Pressure{CPU: 0.4, Disk: 0.1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestPressureThatTheKernelDoesNotTell(t *testing.T) {
	proc := t.TempDir()
	if _, err := pressureOf(proc, 0); err == nil {
		t.Error("no account was read")
	}
	for _, resource := range []string{"cpu", "memory", "io"} {
		writeAccount(t, proc, resource, "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")
	}
	if _, err := pressureOf(proc, 0); err == nil {
		t.Error("an account without its line was read")
	}
}

func TestPressureIsInTheRecordWhereItIsKnown(t *testing.T) {
	d := &Drill{clock: probe.NewClock()}
	d.judge(types.SpecReport{}, nil)
	if d.experiment.Pressure != nil {
		t.Errorf("without an earlier look it is %+v", *d.experiment.Pressure)
	}
	if d.pressure = pressureAt(d.now()); d.pressure == nil {
		t.Skip("this kernel keeps no account of pressure")
	}
	d.judge(types.SpecReport{}, nil)
	if d.experiment.Pressure == nil {
		t.Error("the record does not tell it")
	}
}

func writeAccount(t *testing.T, proc, resource, account string) {
	t.Helper()
	path := filepath.Join(proc, "pressure", resource)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(account), 0o600); err != nil {
		t.Fatal(err)
	}
}
