package hosts

import (
	"fmt"
	"testing"

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
