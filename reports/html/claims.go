package html

import (
	"slices"

	"faultline/reports/record"
)

// claimGroup is the claims of one subject that were tested.
type claimGroup struct {
	Name string
	Rows []claimRow
}

type claimRow struct {
	record.Claim
	cell
}

// claimsOf sorts the claims by subject, in the order of the catalogue, and keeps those
// that no experiment tested apart.
func claimsOf(o *overview) (groups []claimGroup, untested []record.Claim) {
	for _, c := range o.Summary.Verdicts {
		claim := o.Run.Claim(c.Claim)
		if c.Verdict == record.Untested {
			untested = append(untested, claim)
			continue
		}
		i := slices.IndexFunc(groups, func(g claimGroup) bool { return g.Name == claim.Group })
		if i < 0 {
			i = len(groups)
			groups = append(groups, claimGroup{Name: claim.Group})
		}
		groups[i].Rows = append(groups[i].Rows, claimRow{claim, cellOf(testsOf(claim.ID, o.Experiments))})
	}
	return groups, untested
}

// testsOf are the experiments that test a claim.
func testsOf(claim string, experiments []experiment) []experiment {
	var some []experiment
	for _, e := range experiments {
		if slices.Contains(e.Claims, claim) {
			some = append(some, e)
		}
	}
	return some
}
