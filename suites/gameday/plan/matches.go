package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Matches returns nil when the cluster that was found now is that of the plan, unchanged, and
// the plan has not expired at the time; else every difference. The cluster's name and the order
// of nodes and components do not matter.
func (p Plan) Matches(now Target, at time.Time) error {
	var diffs []error
	if !at.Before(p.ExpiresAt) {
		diffs = append(diffs, fmt.Errorf("the plan has expired at %s: make another one", p.ExpiresAt.Format(time.RFC3339)))
	}
	was := p.Target
	diffs = append(diffs,
		differs(was.CA, now.CA, "the cluster's CA is another one: this is another cluster"),
		differs(was.UID, now.UID, "the UID of the namespace kube-system is another one: this is another cluster"),
		differs(was.Server, now.Server, "the cluster's server is another one"),
		differs(was.Consent, now.Consent, "the consent is another one or has been changed: make another plan"))
	return errors.Join(append(diffs, nodesDiffer(was.Nodes, now.Nodes)...)...)
}

// differs is nil for the same value. Nothing is not the same as nothing: it tells of no cluster.
func differs(was, is, what string) error {
	if was == is && was != "" {
		return nil
	}
	return fmt.Errorf("%s (it was %q, and is %q)", what, was, is)
}

func nodesDiffer(was, are []Node) []error {
	var diffs []error
	if len(was) == 0 {
		diffs = append(diffs, errors.New("the plan knows no nodes"))
	}
	for _, n := range was {
		switch found := named(are, n.Name); len(found) {
		case 0:
			diffs = append(diffs, fmt.Errorf("node %s has gone", n.Name))
		case 1:
			diffs = append(diffs, n.differs(found[0])...)
		default:
			diffs = append(diffs, fmt.Errorf("node %s is there %d times", n.Name, len(found)))
		}
	}
	for _, n := range are {
		if len(named(was, n.Name)) == 0 {
			diffs = append(diffs, fmt.Errorf("node %s is new", n.Name))
		}
	}
	return diffs
}

func named(nodes []Node, name string) []Node {
	var found []Node
	for _, n := range nodes {
		if n.Name == name {
			found = append(found, n)
		}
	}
	return found
}

// differs is how a node has changed.
func (n Node) differs(is Node) []error {
	var diffs []error
	for _, f := range []struct{ what, was, is string }{
		{"role", n.Role, is.Role},
		{"host", n.Host, is.Host},
		{"address", n.Address, is.Address},
		{"set of components", sorted(n.Components), sorted(is.Components)},
	} {
		if f.was != f.is {
			diffs = append(diffs, fmt.Errorf("node %s has another %s: it was %q, and is %q", n.Name, f.what, f.was, f.is))
		}
	}
	return diffs
}

// sorted tells components without their order. A node may have two of the same.
func sorted(components []string) string {
	return strings.Join(slices.Sorted(slices.Values(components)), ", ")
}
