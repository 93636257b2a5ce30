package hosts

import (
	"fmt"
	"testing"
	"time"

	"faultline/clusters"
)

func TestEveryHostAndPairIsLostOnce(t *testing.T) {
	for _, c := range []struct {
		topology clusters.Topology
		want     string
	}{
		{clusters.SingleHostVMs(), "[[h1]]"},
		{clusters.SingleHostStaticPods(), "[[h1]]"}, // and not the balancer beside it
		{clusters.TwoHostMinimal(), "[[h1] [h2]]"},
		{clusters.ThreeHostStacked(), "[[h1] [h2] [h3] [h1 h2] [h1 h3] [h2 h3]]"},
	} {
		if got := fmt.Sprint(losses(c.topology)); got != c.want {
			t.Errorf("%s: %s, want %s", c.topology.Name, got, c.want)
		}
	}
	if n := len(losses(clusters.MultiMaster(2))); n != 5+10 {
		t.Errorf("of five hosts %d losses, want 15", n)
	}
}

func TestCellsSayWhatTheModelPredicts(t *testing.T) {
	for _, c := range []struct {
		topology clusters.Topology
		lost     []string
		want     string
	}{
		{clusters.ThreeHostStacked(), []string{"h2"}, "h2 of three-host-stacked is survived"},
		{clusters.ThreeHostStacked(), []string{"h1", "h3"}, "h1 and h3 of three-host-stacked ends the control plane"},
		{clusters.TwoHostSpread(), []string{"h2"}, "h2 of two-host-spread leaves an API whose changes nobody carries out"},
		{clusters.TwoHostSplitMasters(), []string{"h1"}, "h1 of two-host-split-masters ends the control plane"},
		{clusters.TwoHostSplitMasters(), []string{"h2"}, "h2 of two-host-split-masters is survived"},
	} {
		if got := cellName(c.topology, c.lost); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestLossesLastAsLongAsTheirClaimsDemand(t *testing.T) {
	timing := clusters.Timing{Profile: clusters.DocumentedProfile(), Slack: 1}
	fatal, harmless := clusters.Outcome{}, clusters.Outcome{Writable: true, Controlled: true}
	for _, c := range []struct {
		claims []string
		costs  clusters.Outcome
		want   time.Duration
	}{
		{[]string{"TOPO-11", "TOPO-12"}, fatal, timing.LongerThanEviction()},
		{[]string{"TOPO-12"}, fatal, timing.LeaseTakeover().Upper},
		{[]string{"TOPO-12"}, clusters.Outcome{Writable: true}, timing.LeaseTakeover().Upper},
		{[]string{"TOPO-11", "TOPO-12"}, harmless, 0},
		{[]string{"TOPO-01"}, fatal, 0},
	} {
		if got := held(timing, c.claims, c.costs); got != c.want {
			t.Errorf("%v of what costs %+v: %s, want %s", c.claims, c.costs, got, c.want)
		}
	}
}

func TestOneHostThatIsBackSuffices(t *testing.T) {
	for _, c := range []struct {
		topology clusters.Topology
		lost     []string
		want     bool
	}{
		{clusters.ThreeHostStacked(), []string{"h1", "h3"}, true},
		{clusters.ThreeHostStacked(), []string{"h1"}, false},
		{clusters.MultiMaster(2), []string{"h1", "h4"}, false}, // survived with both lost
		{clusters.MultiMaster(2), []string{"h1", "h2"}, true},
		{clusters.TwoHostMinimal(), []string{"h1", "h2"}, false}, // the second is capacity
	} {
		if got := oneSuffices(c.topology, c.lost); got != c.want {
			t.Errorf("%v of %s: %t, want %t", c.lost, c.topology.Name, got, c.want)
		}
	}
}
