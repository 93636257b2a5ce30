package consent

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"faultline/clusters"
	"faultline/fault"
	"faultline/suites/gameday/strict"
)

// uid is what an API server gives every object.
var uid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// check finds what the types alone let pass.
func (c Consent) check() strict.Problems {
	var ps strict.Problems
	if c.Version != version {
		ps.Add("version", "want %d, not %d: use the faultline that the consent was written for", version, c.Version)
	}
	if !uid.MatchString(c.Cluster) {
		ps.Add("cluster", "want the UID of the namespace %s, not %q", Namespace, c.Cluster)
	}
	if len(c.Families) == 0 {
		ps.Add("families", "want at least one of %s", strings.Join(families(), ", "))
	}
	checkNames(&ps, "families", c.Families, families())
	c.checkNamespaces(&ps)
	if c.Radius.Nodes < 1 {
		ps.Add("radius.nodes", "want 1 or more, not %d", c.Radius.Nodes)
	}
	checkNames(&ps, "radius.losing", c.Radius.Losing, components())
	if c.Hours != nil {
		c.Hours.check(&ps)
	}
	if c.Expires.IsZero() {
		ps.Add("expires", "want a time: a consent ends")
	}
	return ps
}

func (c Consent) checkNamespaces(ps *strict.Problems) {
	for i, name := range c.Namespaces {
		if len(validation.IsDNS1123Label(name)) > 0 {
			ps.Add(fmt.Sprintf("namespaces[%d]", i), "want the name of one namespace, not %q", name)
		}
	}
}

// checkNames holds a list to what is known.
func checkNames(ps *strict.Problems, field string, names, known []string) {
	for i, name := range names {
		if !slices.Contains(known, name) {
			ps.Add(fmt.Sprintf("%s[%d]", field, i), "want one of %s, not %q", strings.Join(known, ", "), name)
		}
	}
}

// families are those of the catalogue, in its order.
func families() []string {
	var all []string
	for _, e := range fault.Catalogue() {
		if !slices.Contains(all, e.Family) {
			all = append(all, e.Family)
		}
	}
	return all
}

func components() []string {
	all := make([]string, len(clusters.Components))
	for i, c := range clusters.Components {
		all[i] = string(c)
	}
	return all
}
