package html

import (
	"slices"
	"strings"

	"faultline/reports/record"
)

// shortNames is the experiment with its nodes named without their cluster, which is the
// same for all of them and hides what differs. Nothing that a person copies or searches
// for changes: messages, evidence, the command.
func shortNames(e *record.Experiment) *record.Experiment {
	cluster := e.Cluster
	if cluster == "" {
		return e
	}
	short := *e
	short.Faults = shorten(cluster, e.Faults, func(f *record.Fault) []*string { return []*string{&f.Name, &f.Node, &f.Target, &f.Proof} })
	short.Observations = shorten(cluster, e.Observations, func(o *record.Observation) []*string { return []*string{&o.Expected, &o.Observed} })
	short.Probes = shorten(cluster, e.Probes, func(p *record.Probe) []*string { return []*string{&p.Vantage} })
	short.EtcdLeaders = shorten(cluster, e.EtcdLeaders, func(l *record.EtcdTenure) []*string { return []*string{&l.Leader} })
	short.Recoveries = shorten(cluster, e.Recoveries, func(r *record.Recovery) []*string { return []*string{&r.After} })
	short.States = shorten(cluster, e.States, func(s *record.State) []*string { return []*string{&s.Of} })
	short.Leases = slices.Clone(e.Leases)
	for i, l := range e.Leases {
		short.Leases[i].Holds = shorten(cluster, l.Holds, func(h *record.Tenure) []*string { return []*string{&h.Holder} })
	}
	if e.Audit != nil {
		audit := *e.Audit
		audit.Through = shorten(cluster, e.Audit.Through, func(name *string) []*string { return []*string{name} })
		short.Audit = &audit
	}
	return &short
}

// shorten is a copy of the list with some texts of each of its elements shortened.
func shorten[T any](cluster string, list []T, texts func(*T) []*string) []T {
	short := slices.Clone(list)
	for i := range short {
		for _, text := range texts(&short[i]) {
			*text = strings.ReplaceAll(*text, cluster+"-", "")
		}
	}
	return short
}
