package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/onsi/ginkgo/v2/types"

	"faultline/clusters"
	"faultline/suites/claims"
	"faultline/suites/labels"
)

// defaultTiers is what make chaos runs.
const defaultTiers = labels.Smoke + "," + labels.Core

// selected are the specs that a run has, sorted by layout, and the label filter for them.
type selected struct {
	filter string
	specs  []types.SpecReport
}

// selection is what GINKGO_LABEL_FILTER, FAULTLINE_TIERS, GINKGO_FOCUS and FAULTLINE_SHARD
// select.
func selection(ctx context.Context) (s selected, err error) {
	if s.filter, err = labelFilter(); err != nil {
		return s, err
	}
	part, err := shardFromEnv()
	if err != nil {
		return s, err
	}
	if s.specs, err = listSpecs(ctx, s.filter); err != nil {
		return s, err
	}
	if len(s.specs) == 0 {
		return s, errNothing()
	}
	return part.of(s)
}

// errNothing names all that selects, because any part of it may be the wrong one.
func errNothing() error {
	return fmt.Errorf("no experiment is selected by GINKGO_LABEL_FILTER=%q, GINKGO_FOCUS=%q and FAULTLINE_TIERS=%q together; all there are lists: make chaos-plan FAULTLINE_TIERS=%s",
		os.Getenv("GINKGO_LABEL_FILTER"), os.Getenv("GINKGO_FOCUS"), cmp.Or(os.Getenv("FAULTLINE_TIERS"), defaultTiers), strings.Join(labels.Tiers, ","))
}

// labelFilter is the selection before it is divided among machines. A label that no spec can
// have is an error: it would select nothing, silently.
func labelFilter() (string, error) {
	filter := os.Getenv("GINKGO_LABEL_FILTER")
	if _, err := types.ParseLabelFilter(filter); err != nil {
		return "", fmt.Errorf("GINKGO_LABEL_FILTER=%q: %w", filter, err)
	}
	if err := refuseUnknownLabels(filter); err != nil {
		return "", fmt.Errorf("GINKGO_LABEL_FILTER=%q: %w", filter, err)
	}
	wanted, suffix := os.Getenv("FAULTLINE_TIERS"), ""
	if wanted == "" {
		// Sabotage runs test the suite, not Kubernetes.
		wanted, suffix = defaultTiers, " && !"+labels.Sabotage
	}
	var tierFilter []string
	for _, tier := range strings.Split(wanted, ",") {
		if !slices.Contains(labels.Tiers, tier) {
			return "", fmt.Errorf("FAULTLINE_TIERS=%q: unknown tier %q; known are: %s", wanted, tier, strings.Join(labels.Tiers, ", "))
		}
		tierFilter = append(tierFilter, labels.Tier+tier)
	}
	both := "(" + strings.Join(tierFilter, " || ") + ")" + suffix
	if filter != "" {
		both += " && (" + filter + ")"
	}
	return both, nil
}

// seedVariable names the seed of every random choice of a run.
const seedVariable = "FAULTLINE_SEED"

// seed reads FAULTLINE_SEED, or throws the dice.
func seed() (int64, error) {
	text := os.Getenv(seedVariable)
	if text == "" {
		return 1 + rand.Int64N(1_000_000), nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s=%q: want a whole number from 1", seedVariable, text)
	}
	return n, nil
}

// knownLabels are all values of our key:value labels.
func knownLabels() map[string][]string {
	known := map[string][]string{"tier": labels.Tiers, "component": {labels.Host}}
	for _, c := range clusters.Components {
		known["component"] = append(known["component"], string(c))
	}
	for _, t := range clusters.Documented() {
		known["topology"] = append(known["topology"], t.Name)
	}
	for _, c := range claims.All() {
		known["claim"] = append(known["claim"], c.ID)
		known["mutation"] = append(known["mutation"], c.Group())
	}
	return known
}

var labelPattern = regexp.MustCompile(`([A-Za-z-]+):\s*([A-Za-z0-9.-]+)`)

// refuseUnknownLabels looks at every key:value of a filter; sets and regular
// expressions are left to Ginkgo.
func refuseUnknownLabels(filter string) error {
	known := knownLabels()
	for _, m := range labelPattern.FindAllStringSubmatch(filter, -1) {
		key, value := m[1], m[2]
		values, ok := known[key]
		if !ok {
			return fmt.Errorf("unknown label %q; the labels are claim:, component:, mutation:, tier: and topology: with a value", key+":")
		}
		matches := func(v string) bool { return strings.EqualFold(v, value) }
		if !slices.ContainsFunc(values, matches) && !strings.ContainsAny(filter, "{/") {
			return fmt.Errorf("no spec has the label %s:%s; known are: %s", key, value, strings.Join(values, ", "))
		}
	}
	return nil
}
