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
	if e.Cluster == "" {
		return e
	}
	short := *e
	clean := func(texts ...*string) {
		for _, t := range texts {
			*t = strings.ReplaceAll(*t, e.Cluster+"-", "")
		}
	}
	short.Faults = slices.Clone(e.Faults)
	for i := range short.Faults {
		clean(&short.Faults[i].Name, &short.Faults[i].Node, &short.Faults[i].Target, &short.Faults[i].Proof)
	}
	short.Observations = slices.Clone(e.Observations)
	for i := range short.Observations {
		clean(&short.Observations[i].Expected, &short.Observations[i].Observed)
	}
	short.Probes = slices.Clone(e.Probes)
	for i := range short.Probes {
		clean(&short.Probes[i].Vantage)
	}
	short.EtcdLeaders = slices.Clone(e.EtcdLeaders)
	for i := range short.EtcdLeaders {
		clean(&short.EtcdLeaders[i].Leader)
	}
	short.Leases = slices.Clone(e.Leases)
	for i := range short.Leases {
		short.Leases[i].Holds = slices.Clone(e.Leases[i].Holds)
		for j := range short.Leases[i].Holds {
			clean(&short.Leases[i].Holds[j].Holder)
		}
	}
	short.Recoveries = slices.Clone(e.Recoveries)
	for i := range short.Recoveries {
		clean(&short.Recoveries[i].After)
	}
	if e.Audit != nil {
		audit := *e.Audit
		audit.Through = slices.Clone(audit.Through)
		for i := range audit.Through {
			clean(&audit.Through[i])
		}
		short.Audit = &audit
	}
	return &short
}
