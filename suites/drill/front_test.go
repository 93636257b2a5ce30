package drill

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"faultline/clusters"
)

// dialled is a front to which so many connections were made, a tenth of a second apart, with the
// n-th answered as told.
func dialled(d *Drill, n int, answered func(n int) dial) *Front {
	f := &Front{drill: d}
	for i := range n {
		made := answered(i)
		made.at = time.Duration(i+1) * dialPause
		f.dials = append(f.dials, made)
	}
	return f
}

func TestNewConnectionsShowWhoIsLeftOut(t *testing.T) {
	lost := clusters.Endpoint{Name: "a"}
	for name, c := range map[string]struct {
		answered func(n int) dial
		ok       bool
	}{
		"left out after a second":     {func(n int) dial { return dial{server: []string{"a", "b"}[min(n/10, 1)]} }, true},
		"left out later than allowed": {func(n int) dial { return dial{server: []string{"a", "b"}[min(n/50, 1)]} }, false},
		"never left out":              {func(n int) dial { return dial{server: []string{"a", "b"}[n%2]} }, false},
		"nobody answers":              {func(n int) dial { return dial{err: errors.New("refused")} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := drillAt(t, 0)
				<-time.After(20 * time.Second)
				err := dialled(d, 200, c.answered).LeavesOut(lost, clusters.Bounds{Upper: 3 * time.Second})
				if (err == nil) != c.ok {
					t.Errorf("%v, want success %t", err, c.ok)
				}
			})
		})
	}
}

func TestWhoIsLeftOutMustStaySo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := drillAt(t, 0)
		<-time.After(20 * time.Second)
		f := dialled(d, 200, func(int) dial { return dial{server: "b"} })
		if err := f.LeavesOut(clusters.Endpoint{Name: "a"}, clusters.Bounds{Upper: 3 * time.Second}); err != nil || len(d.promises) != 1 {
			t.Fatalf("%v, %d promises", err, len(d.promises))
		}
		if err := d.promises[0].check(20 * time.Second); err != nil {
			t.Error(err)
		}
		f.dials[150].server = "a"
		if d.promises[0].check(20*time.Second) == nil {
			t.Error("a connection to the server was not noticed")
		}
	})
}

func TestNobodyIsLeftOutWhereNobodyLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := drillAt(t, 0)
		if (&Front{drill: d}).LeavesOut(clusters.Endpoint{Name: "a"}, clusters.Bounds{Upper: 3 * time.Second}) == nil {
			t.Error("without a connection a server is called left out")
		}
	})
}

func TestNewConnectionsShowWhoIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := drillAt(t, 0)
		<-time.After(20 * time.Second)
		f := dialled(d, 200, func(n int) dial { return dial{server: []string{"b", "a"}[n/100]} })
		for upper, ok := range map[time.Duration]bool{11 * time.Second: true, 9 * time.Second: false} {
			if err := f.TakesBack(clusters.Endpoint{Name: "a"}, clusters.Bounds{Upper: upper}); (err == nil) != ok {
				t.Errorf("within %s: %v, want success %t", upper, err, ok)
			}
		}
		if f.TakesBack(clusters.Endpoint{Name: "c"}, clusters.Bounds{Upper: time.Second}) == nil {
			t.Error("a server that nobody reached is called taken back")
		}
	})
}
