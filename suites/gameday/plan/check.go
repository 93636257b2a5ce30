package plan

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"faultline/clusters"
	"faultline/fault"
	"faultline/suites/gameday/strict"
)

const uidPattern = `[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}`

var (
	authority = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	uid       = regexp.MustCompile(`^` + uidPattern + `$`)
	revision  = regexp.MustCompile(`^` + uidPattern + `/[1-9][0-9]*$`)
	// bearing is how a target names the node that it is on: kube-scheduler on n1, node n1.
	bearing = regexp.MustCompile(`(?:^| )(?:on|node) (\S+)$`)
	// packets is how a target names nodes on both sides of a network: from n1, n2 to n3.
	packets = regexp.MustCompile(`(?: from (.+) to| around) (\S+)$`)
)

// check finds what the types alone let pass.
func (p Plan) check() strict.Problems {
	var ps strict.Problems
	if p.Version != Version {
		ps.Add("version", "want %d, not %d: use the faultline that wrote the plan", Version, p.Version)
	}
	if !p.ExpiresAt.After(p.CreatedAt) {
		ps.Add("expiresAt", "want a time after createdAt")
	}
	p.Target.check(&ps)
	if len(p.Experiments) == 0 {
		ps.Add("experiments", "want at least one")
	}
	for i := range p.Experiments {
		p.checkExperiment(&ps, i)
	}
	return append(ps, p.Stop.Problems()...)
}

func (t Target) check(ps *strict.Problems) {
	if u, err := url.Parse(t.Server); err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		ps.Add("target.server", "want an https URL with nothing but host, port and path")
	}
	for _, f := range []struct {
		field, value, wanted string
		pattern              *regexp.Regexp
	}{
		{"target.ca", t.CA, "sha256: and 64 hexadecimal digits", authority},
		{"target.uid", t.UID, "the UID of the namespace kube-system", uid},
		{"target.consent", t.Consent, "UID and resourceVersion of the consent with a slash between them", revision},
	} {
		if !f.pattern.MatchString(f.value) {
			ps.Add(f.field, "want %s, not %q", f.wanted, f.value)
		}
	}
	if len(t.Nodes) == 0 {
		ps.Add("target.nodes", "want at least one")
	}
	for i, n := range t.Nodes {
		if slices.ContainsFunc(t.Nodes[:i], func(other Node) bool { return other.Name == n.Name }) {
			ps.Add(fmt.Sprintf("target.nodes[%d].name", i), "%q is there twice", n.Name)
		}
	}
}

// has tells whether the cluster has a node.
func (t Target) has(node string) bool {
	return slices.ContainsFunc(t.Nodes, func(n Node) bool { return n.Name == node })
}

func (p Plan) checkExperiment(ps *strict.Problems, i int) {
	e, field := p.Experiments[i], fmt.Sprintf("experiments[%d]", i)
	if slices.ContainsFunc(p.Experiments[:i], func(other Experiment) bool { return other.Name == e.Name }) {
		ps.Add(field+".name", "%q is there twice: want another one", e.Name)
	}
	e.checkFault(ps, field)
	e.checkPlaces(ps, field, p.Target)
	for j, c := range e.Losing {
		if !slices.Contains(clusters.Components, clusters.Component(c)) {
			ps.Add(fmt.Sprintf("%s.losing[%d]", field, j), "there is no component %q", c)
		}
	}
	if e.Hold < minHold || e.Hold > maxHold {
		ps.Add(field+".hold", "want %s to %s, not %s", minHold, maxHold, e.Hold)
	}
	if e.Takes <= 0 {
		ps.Add(field+".takes", "want about how long it takes until all is healed, not %s", e.Takes)
	}
}

// checkFault holds kind and family to the catalogue: the consent speaks of families.
func (e Experiment) checkFault(ps *strict.Problems, field string) {
	catalogue := fault.Catalogue()
	known := slices.IndexFunc(catalogue, func(entry fault.Entry) bool { return string(entry.Kind) == e.Fault })
	if known < 0 {
		ps.Add(field+".fault", "there is no fault %q: want one that make faults lists", e.Fault)
	} else if family := catalogue[known].Family; family != e.Family {
		ps.Add(field+".family", "want %s, which %s belongs to, not %q", family, e.Fault, e.Family)
	}
}

// checkPlaces holds nodes to those of the cluster, and targets to the experiment's nodes:
// the consent's radius counts these.
func (e Experiment) checkPlaces(ps *strict.Problems, field string, t Target) {
	if len(e.Nodes) == 0 {
		ps.Add(field+".nodes", "want those of the targets")
	}
	for j, n := range e.Nodes {
		if !t.has(n) {
			ps.Add(fmt.Sprintf("%s.nodes[%d]", field, j), "the cluster has no node %q", n)
		}
	}
	if len(e.Targets) == 0 {
		ps.Add(field+".targets", "want at least one")
	}
	for j, target := range e.Targets {
		where := fmt.Sprintf("%s.targets[%d]", field, j)
		for _, n := range mentioned(target) {
			if !t.has(n) {
				ps.Add(where, "the cluster has no node %q", n)
			}
		}
		if m := bearing.FindStringSubmatch(target); m != nil && !slices.Contains(e.Nodes, m[1]) {
			ps.Add(where, "%q is not on the experiment's nodes, which are %s", target, list(e.Nodes))
		}
	}
}

// mentioned are the nodes that a target names, as far as its words tell.
func mentioned(target string) []string {
	if m := bearing.FindStringSubmatch(target); m != nil {
		return m[1:]
	}
	m := packets.FindStringSubmatch(target)
	switch {
	case m == nil:
		return nil
	case m[1] == "":
		return m[2:]
	}
	return append(strings.Split(m[1], ", "), m[2])
}
