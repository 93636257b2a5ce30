// Package labels names what specs carry and what selects them: a key with a value, or a word.
package labels

import "strings"

// Keys, each before a value.
const (
	Claim     = "claim:"
	Topology  = "topology:"
	Component = "component:"
	Tier      = "tier:"
	// Mutation is before the group of claims that a changed system contradicts.
	Mutation = "mutation:"
)

// The values of Tier: smoke runs with every test, core with make chaos, nightly at night.
const (
	Smoke   = "smoke"
	Core    = "core"
	Nightly = "nightly"
)

// Tiers are all of them, the quickest first.
var Tiers = []string{Smoke, Core, Nightly}

// Host is the value of Component on specs that lose whole hosts.
const Host = "host"

// Sabotage is on specs that test the suite itself.
const Sabotage = "sabotage"

// Values finds those that the labels give a key.
func Values(labels []string, key string) []string {
	var values []string
	for _, label := range labels {
		if value, ok := strings.CutPrefix(label, key); ok {
			values = append(values, value)
		}
	}
	return values
}
