package html

import (
	"encoding/json"
	"strings"
	"testing"

	"faultline/reports/record"
)

func TestShortNames(t *testing.T) {
	const long = "faultline-1-n1"
	e := &record.Experiment{
		Cluster: "faultline-1", Reason: long, Command: long, Evidence: []string{long},
		Faults:       []record.Fault{{Name: "kill etcd on " + long, Node: long, Target: "etcd on " + long, Proof: long}},
		Observations: []record.Observation{{Expected: long, Observed: long}},
		Probes:       []record.Probe{{Vantage: "in-cluster:" + long, Spans: []record.Span{{Example: long}}}},
		Leases:       []record.Lease{{Holds: []record.Tenure{{Holder: long + "_1"}}}},
		Recoveries:   []record.Recovery{{After: "undo of " + long}},
		EtcdLeaders:  []record.EtcdTenure{{Leader: long}},
		Audit:        &record.Audit{Through: []string{long}, Lost: []string{long}},
	}
	before := asText(t, e)
	short := shortNames(e)
	if asText(t, e) != before {
		t.Error("the record itself was changed")
	}
	if got := strings.Count(asText(t, short), long); got != 5 {
		t.Errorf("%d long names are left, want those of reason, command, evidence, a message and a lost write:\n%s", got, asText(t, short))
	}
	if f := short.Faults[0]; f.Name != "kill etcd on n1" || short.Probes[0].Vantage != "in-cluster:n1" || short.Leases[0].Holds[0].Holder != "n1_1" {
		t.Errorf("got %s", asText(t, short))
	}
	e.Cluster = ""
	if asText(t, shortNames(e)) != asText(t, e) {
		t.Error("without a cluster's name something was cut")
	}
}

func asText(t *testing.T, e *record.Experiment) string {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
