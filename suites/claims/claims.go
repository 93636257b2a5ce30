// Package claims is the catalogue of what the documents say.
package claims

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"faultline/reports/record"
)

//go:embed catalogue.yaml
var catalogue []byte

// Claim is a row of the catalogue.
type Claim struct {
	ID        string `json:"id"`
	Statement string `json:"statement"`
	Source    string `json:"source"`
	Expected  string `json:"expected"`
	Drift     string `json:"drift,omitempty"`
	// Untested is why no spec tests it; empty where one does.
	Untested string `json:"untested,omitempty"`
}

// Group is the part of the identifier before the number.
func (c Claim) Group() string {
	group, _, _ := strings.Cut(c.ID, "-")
	return group
}

// All is the catalogue in its own order.
func All() []Claim { return all }

var all = mustLoad(catalogue)

func mustLoad(text []byte) []Claim {
	list, err := load(text)
	if err != nil {
		panic(err) // the catalogue is part of the binary, and a test loads it
	}
	return list
}

// load reads and checks a catalogue.
func load(text []byte) ([]Claim, error) {
	var list []Claim
	if err := yaml.UnmarshalStrict(text, &list); err != nil {
		return nil, fmt.Errorf("catalogue of claims: %w", err)
	}
	seen := map[string]bool{}
	for _, c := range list {
		switch {
		case c.ID == "" || c.Statement == "" || c.Source == "" || c.Expected == "":
			return nil, fmt.Errorf("catalogue of claims: %q needs id, statement, source and expected", c.ID)
		case seen[c.ID]:
			return nil, fmt.Errorf("catalogue of claims: %s is listed twice", c.ID)
		}
		seen[c.ID] = true
	}
	return list, nil
}

// Find returns the claim of that identifier.
func Find(id string) (Claim, error) {
	i := slices.IndexFunc(all, func(c Claim) bool { return c.ID == id })
	if i < 0 {
		return Claim{}, fmt.Errorf("the catalogue has no claim %q", id)
	}
	return all[i], nil
}

// Record is the catalogue as a report needs it.
func Record() []record.Claim {
	var rows []record.Claim
	for _, c := range all {
		rows = append(rows, record.Claim{ID: c.ID, Group: c.Group(), Statement: c.Statement, Source: c.Source, Drift: c.Drift, Untested: c.Untested})
	}
	return rows
}
