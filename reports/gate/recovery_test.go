package gate

import (
	"fmt"
	"strings"
	"testing"

	"faultline/reports/record"
)

// experiment has the expectations given, as the suite writes them, with what they took.
func experiment(cluster string, seen ...any) *record.Experiment {
	e := &record.Experiment{Name: "n", Cluster: cluster, Verdict: record.Held}
	for i := 0; i < len(seen); i += 2 {
		o := record.Observation{Expected: strings.ReplaceAll(seen[i].(string), "CLUSTER", cluster)}
		if seconds, ok := seen[i+1].(float64); ok {
			o.Seconds, o.Recovery = &seconds, true
		}
		e.Observations = append(e.Observations, o)
	}
	return e
}

func TestRecoveriesHaveTheSameNameInEveryRun(t *testing.T) {
	tests := map[string]struct {
		seen []any
		want string
	}{
		"through the load balancer": {[]any{"resume write within 30.0 s (load-balancer)", 1.5}, "resume write (load-balancer) 1.5"},
		"bounds, cluster and number are left out": {
			[]any{"visibly pause schedule as [pending] after 15.0 s to 118.8 s (CLUSTER-control-plane2)", 16.0},
			"visibly pause schedule as [pending] (control-plane) 16"},
		"in the cluster": {[]any{"pause resolve within 10.0 s (in-cluster:CLUSTER-worker)", 0.5}, "pause resolve (in-cluster:worker) 0.5"},
		"the slowest vantage point counts": {
			[]any{"pause put within 10.0 s (CLUSTER-etcd2)", 0.1, "pause put within 10.0 s (CLUSTER-etcd3)", 1.4, "pause put within 10.0 s (CLUSTER-etcd)", 0.2},
			"pause put (etcd) 1.4"},
		"another expectation is another recovery": {
			[]any{"resume write within 3.0 s (load-balancer)", 1.0, "resume schedule within 3.0 s (load-balancer)", 2.0},
			"resume write (load-balancer) 1, resume schedule (load-balancer) 2"},
		"what is expected again is another recovery": {
			[]any{"pause write within 10.0 s (load-balancer)", 1.0, "the cluster is whole", nil, "pause write within 30.0 s (load-balancer)", 3.0},
			"pause write (load-balancer) 1, pause write (load-balancer), time 2 3"},
		"even at once": {
			[]any{"pause put within 10.0 s (CLUSTER-etcd2)", 1.0, "pause put within 10.0 s (CLUSTER-etcd3)", 2.0, "pause put within 10.0 s (CLUSTER-etcd3)", 3.0},
			"pause put (etcd) 2, pause put (etcd), time 2 3"},
		"what never came back has no figure": {
			[]any{"resume put within 3.0 s (CLUSTER-etcd)", nil, "resume put within 3.0 s (CLUSTER-etcd2)", 1.0}, "resume put (etcd) 1"},
		"no recovery": {[]any{"lose write within 10.0 s (load-balancer)", nil}, ""},
	}
	for name, test := range tests {
		for _, cluster := range []string{"faultline-wpabaf-103", "faultline-a-1", ""} {
			var got []string
			for _, r := range recoveriesOf(experiment(cluster, test.seen...)) {
				got = append(got, fmt.Sprintf("%s %g", r.name, r.seconds))
			}
			want := test.want
			if cluster == "" && strings.Contains(fmt.Sprint(test.seen), "CLUSTER") {
				continue // nothing to leave out
			}
			if strings.Join(got, ", ") != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
	}
}
