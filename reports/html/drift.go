package html

import (
	"slices"

	"faultline/reports/record"
)

// drift is a row of the drift register: a claim that was right in its time, how
// Kubernetes differs today, and where that was seen.
type drift struct {
	record.Claim
	cell
	// Today is how experiments put the difference, each once.
	Today []string
}

// driftsOf lists the claims that are known to have drifted or were seen to, those that
// this run tested first.
func driftsOf(o *overview) (tested, untested []drift) {
	for _, c := range o.Run.Claims {
		tests := testsOf(c.ID, o.Experiments)
		d := drift{Claim: c, cell: cellOf(tests)}
		for _, e := range tests {
			if e.drifts(c) && !slices.Contains(d.Today, e.Drift) {
				d.Today = append(d.Today, e.Drift)
			}
		}
		switch {
		case c.Drift == "" && len(d.Today) == 0:
		case d.Verdict == record.Untested:
			untested = append(untested, d)
		default:
			tested = append(tested, d)
		}
	}
	return tested, untested
}

// drifts tells whether the difference that an experiment saw is about the claim: of
// several claims, those that are known to have drifted.
func (x experiment) drifts(c record.Claim) bool {
	known := func(c record.Claim) bool { return c.Drift != "" }
	return x.Drift != "" && (known(c) || !slices.ContainsFunc(x.About, known))
}
