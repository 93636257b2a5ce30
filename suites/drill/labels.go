package drill

import (
	"fmt"
	"slices"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"

	"faultline/clusters"
	"faultline/suites/claims"
	"faultline/suites/labels"
)

// The tiers: smoke runs with every test, core with make chaos, nightly at night.
var (
	Smoke   = ginkgo.Label(labels.Tier + labels.Smoke)
	Core    = ginkgo.Label(labels.Tier + labels.Core)
	Nightly = ginkgo.Label(labels.Tier + labels.Nightly)
)

// Sabotage marks specs that test the suite itself; make chaos leaves them out.
var Sabotage = ginkgo.Label(labels.Sabotage)

// Claims labels a spec with the claims that it tests. A claim that is not in the
// catalogue ends the program: a spec must not test what nobody said.
func Claims(ids ...string) ginkgo.Labels {
	var all ginkgo.Labels
	for _, id := range ids {
		if _, err := claims.Find(id); err != nil {
			panic(err)
		}
		all = append(all, labels.Claim+id)
	}
	return all
}

// Topology labels specs with the layout they run on. Those of one layout run one after the other,
// because a cluster that is as good as new is used again.
func Topology(name string) []any {
	if _, err := clusters.Find(name); err != nil {
		panic(err)
	}
	place := slices.IndexFunc(clusters.Documented(), func(t clusters.Topology) bool { return t.Name == name })
	return []any{ginkgo.Labels{labels.Topology + name}, ginkgo.SpecPriority(-place)}
}

// Component labels specs with what they lose.
func Component(c clusters.Component) ginkgo.Labels {
	return ginkgo.Labels{labels.Component + string(c)}
}

// WholeHost labels specs that lose whole hosts.
var WholeHost = ginkgo.Label(labels.Component + labels.Host)

// repeatCommand runs this spec alone, with the profile.
func repeatCommand(spec types.SpecReport, profile string) string {
	focus := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`\'"$#^|?*+()[]{}`, r) {
			return '.' // a pattern, and a word of make's and of a shell's
		}
		return r
	}, spec.FullText())
	return fmt.Sprintf("make chaos FAULTLINE_TIERS=%s FAULTLINE_PROFILE=%s FAULTLINE_SEED=%d GINKGO_FOCUS='%s'",
		strings.Join(labels.Values(spec.Labels(), labels.Tier), ","), profile, ginkgo.GinkgoRandomSeed(), focus)
}
