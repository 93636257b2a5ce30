package suites_test

import (
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"

	"faultline/suites/claims"
	"faultline/suites/labels"
)

// Every claim is tested, or the catalogue says why not: never both, never neither. Every
// spec has a topology and a tier, without which nobody would run it.
func TestEveryClaimHasASpecOrAReason(t *testing.T) {
	tested := map[string]bool{}
	for _, spec := range PreviewSpecs("Faultline").SpecReports {
		if spec.LeafNodeText == "" {
			continue
		}
		carried := spec.Labels()
		for _, id := range labels.Values(carried, labels.Claim) {
			tested[id] = true
		}
		if len(labels.Values(carried, labels.Tier)) == 0 || len(labels.Values(carried, labels.Topology)) == 0 {
			t.Errorf("%q has no tier or no topology: %v", spec.FullText(), carried)
		}
	}
	if len(tested) == 0 {
		t.Fatal("no spec names a claim")
	}
	for _, c := range claims.All() {
		switch {
		case tested[c.ID] && c.Untested != "":
			t.Errorf("%s has a spec, and the catalogue says that it has none: %s", c.ID, c.Untested)
		case !tested[c.ID] && c.Untested == "":
			t.Errorf("%s has no spec, and the catalogue does not say why", c.ID)
		}
	}
}

// A layout of Kubernetes that make chaos or the matrix comes back to would be booted again.
func TestSpecsOfOneLayoutRunTogether(t *testing.T) {
	last, left := "", map[string]bool{}
	for _, spec := range PreviewSpecs("Faultline").SpecReports {
		carried := spec.Labels()
		if !slices.Contains(carried, labels.Tier+labels.Core) && !slices.Contains(carried, "matrix") || slices.Contains(carried, labels.Sabotage) {
			continue
		}
		layout := strings.Join(labels.Values(carried, labels.Topology), " ")
		if strings.HasPrefix(layout, "bare-etcd") || layout == last {
			continue
		}
		if left[layout] {
			t.Errorf("%q comes back to %s", spec.FullText(), layout)
		}
		left[last], last = true, layout
	}
	if len(left) < 3 {
		t.Errorf("only %d layouts were looked at", len(left))
	}
}

// Every group of claims has a mutation of the system that turns one of its experiments red.
func TestEveryGroupHasAMutation(t *testing.T) {
	mutated := map[string]bool{}
	for _, spec := range PreviewSpecs("Faultline").SpecReports {
		for _, group := range labels.Values(spec.Labels(), labels.Mutation) {
			mutated[group] = true
		}
	}
	for _, c := range claims.All() {
		if !mutated[c.Group()] {
			t.Errorf("no mutation is known to turn an experiment of %s red", c.Group())
			mutated[c.Group()] = true
		}
	}
}
