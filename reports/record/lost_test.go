package record_test

import (
	"slices"
	"testing"

	"faultline/reports/record"
)

func TestLost(t *testing.T) {
	fault := func(kind, target string) record.Fault { return record.Fault{Kind: kind, Target: target} }
	tests := map[string]struct {
		e    record.Experiment
		want []string
	}{
		"nothing":                    {record.Experiment{}, nil},
		"a component":                {record.Experiment{Faults: []record.Fault{fault("kill", "etcd on n1")}}, []string{"etcd"}},
		"several of one":             {record.Experiment{Faults: []record.Fault{fault("kill", "etcd on n1, etcd on n2"), fault("kill", "etcd on n3")}}, []string{"etcd"}},
		"several components":         {record.Experiment{Faults: []record.Fault{fault("together", "kube-scheduler on n1, kube-controller-manager on n1")}}, []string{"kube-scheduler", "kube-controller-manager"}},
		"a pod":                      {record.Experiment{Faults: []record.Fault{fault("hold-down", "coredns-f868bcd94-z5gnj on n1")}}, []string{"coredns"}},
		"a host, then a component":   {record.Experiment{Faults: []record.Fault{fault("power-off", "node n1, node n2"), fault("stop", "kubelet on n3")}}, []string{"host", "kubelet"}},
		"neither component nor host": {record.Experiment{Faults: []record.Fault{fault("partition", "packets from n1, n2 to n3")}}, []string{"partition"}},
		"something of a component":   {record.Experiment{Faults: []record.Fault{fault("expire-certificate", "client certificate of etcd on n1")}}, []string{"expire-certificate"}},
		"what the experiment says":   {record.Experiment{Loses: []string{"host with etcd"}, Faults: []record.Fault{fault("power-off", "node n1")}}, []string{"host with etcd"}},
	}
	for name, test := range tests {
		if got := test.e.Lost(); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}
