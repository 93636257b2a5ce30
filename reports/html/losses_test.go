package html

import (
	"fmt"
	"slices"
	"testing"

	"faultline/reports/record"
)

// overviewOf is the page of experiments with an id, a topology, a verdict and losses.
func overviewOf(experiments ...record.Experiment) *overview {
	return newOverview(&record.Run{Schema: record.SchemaVersion, ID: "r", Experiments: experiments})
}

func lossOf(id, topology string, v record.Verdict, recovery float64, losses ...string) record.Experiment {
	e := record.Experiment{ID: id, Topology: topology, Verdict: v, Loses: losses}
	if recovery > 0 {
		e.Observations = []record.Observation{{Recovery: true, Seconds: &recovery}}
	}
	return e
}

func TestMatrixOfLosses(t *testing.T) {
	o := overviewOf(
		lossOf("1", "t1", record.Held, 0),
		lossOf("2", "t1", record.Held, 2, "two hosts"),
		lossOf("3", "t2", record.Held, 3, "kube-apiserver", "host"),
		lossOf("4", "t1", record.Broken, 4, "etcd"),
		lossOf("5", "t1", record.Drifted, 5, "etcd"),
		lossOf("6", "t2", record.Held, 6, "envoy", "haproxy"),
		lossOf("7", "t2", record.Inconclusive, 7, "partition"),
		lossOf("8", "t2", record.Held, 0, "delay"),
	)
	var got []string
	for _, g := range o.Losses {
		got = append(got, g.Name)
		for _, r := range g.Rows {
			line := r.Label
			for _, c := range r.Cells {
				line += fmt.Sprintf(" %s %s %d", c.Verdict, c.Recovery, len(c.Links))
			}
			got = append(got, line)
		}
	}
	want := []string{
		"Components",
		"etcd broken 5.00 s 2 untested  0",
		"API server untested  0 held 3.00 s 1",
		"load balancer untested  0 held 6.00 s 1",
		"Hosts",
		"host untested  0 held 3.00 s 1",
		"two hosts held 2.00 s 1 untested  0",
		"Other faults",
		"delay untested  0 held  1",
		"partition untested  0 inconclusive 7.00 s 1",
		"nothing is broken held  1 untested  0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestFindingsAreTheWorstFirst(t *testing.T) {
	o := overviewOf(lossOf("1", "t", record.Inconclusive, 0), lossOf("2", "t", record.Held, 0), lossOf("3", "t", record.Broken, 0),
		lossOf("4", "t", record.Inconclusive, 0), lossOf("5", "t", record.Broken, 0))
	var ids []string
	for _, e := range o.Findings() {
		ids = append(ids, e.ID)
	}
	if !slices.Equal(ids, []string{"3", "5", "1"}) || o.MoreFindings() != 1 {
		t.Errorf("got %v and %d more", ids, o.MoreFindings())
	}
}
