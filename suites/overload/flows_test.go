package overload

import (
	"maps"
	"testing"
)

const metrics = `# TYPE apiserver_flowcontrol_rejected_requests_total counter
apiserver_flowcontrol_rejected_requests_total{flow_schema="service-accounts",priority_level="workload-low",reason="queue-full"} 1200
apiserver_flowcontrol_rejected_requests_total{flow_schema="service-accounts",priority_level="workload-low",reason="time-out"} 3
apiserver_flowcontrol_rejected_requests_total{flow_schema="service-accounts",priority_level="workload-low",reason="concurrency-limit"} 0
apiserver_flowcontrol_dispatched_requests_total{flow_schema="system-node-high",priority_level="node-high"} 1.5e+06
apiserver_flowcontrol_current_inqueue_requests{flow_schema="service-accounts",priority_level="workload-low"} 7
apiserver_flowcontrol_nominal_limit_seats{priority_level="workload-low"} 1
apiserver_requests_total 12
`

func TestFlowsIn(t *testing.T) {
	f, err := flowsIn(metrics)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(f.refused, map[string]int64{"service-accounts": 1203}) || !maps.Equal(f.executed, map[string]int64{"system-node-high": 1_500_000}) {
		t.Errorf("%s", f)
	}
	if f.waiting["service-accounts"] != 7 {
		t.Errorf("%d wait", f.waiting["service-accounts"])
	}
	if more := f.since(f); more.nobody() != nil || len(more.executed) > 0 {
		t.Errorf("nothing is %s", more)
	}
	if f.nobody() == nil {
		t.Error("1203 are nobody")
	}
	for _, wrong := range []string{"", "apiserver_requests_total 12\n", executedMetric + `{flow_schema="a"} many`} {
		if _, err := flowsIn(wrong); err == nil {
			t.Errorf("%q tells something", wrong)
		}
	}
}

func TestOnlyFlooded(t *testing.T) {
	everybody := map[string]int64{flooded: 10}
	for _, schema := range own {
		everybody[schema] = 1
	}
	fewer := maps.Clone(everybody)
	delete(fewer, own[0])
	for name, test := range map[string]struct {
		f    flows
		want bool
	}{
		"the flood":               {flows{everybody, map[string]int64{flooded: 5}, nil}, true},
		"nobody":                  {flows{everybody, nil, nil}, false},
		"a node too":              {flows{everybody, map[string]int64{flooded: 5, own[0]: 1}, nil}, false},
		"nodes asked for nothing": {flows{fewer, map[string]int64{flooded: 5}, nil}, false},
	} {
		if err := test.f.onlyFlooded(); (err == nil) != test.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
