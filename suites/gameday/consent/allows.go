package consent

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Action is what is about to be done.
type Action struct {
	// Cluster is the UID of the namespace kube-system where it is going to happen.
	Cluster string
	// Families are those of the faults, Namespaces are where objects are created.
	Families, Namespaces []string
	// Nodes are hit at the same time.
	Nodes []string
	// Losing names components whose majority or last instance is lost on purpose.
	Losing []string
	// Until is when everything has been undone at the latest.
	Until time.Time
}

// Allows returns nil when the consent covers all of an action that begins now, else every
// reason why it does not. The action has to begin and to end within one window and before
// the consent expires. A consent that Parse would refuse allows nothing.
func (c Consent) Allows(a Action, now time.Time) error {
	if err := c.check().Err(); err != nil {
		return fmt.Errorf("the consent is none: %w", err)
	}
	return errors.Join(slices.Concat(c.scope(a), c.period(a.Until, now))...)
}

// scope is why the consent does not cover what is done.
func (c Consent) scope(a Action) []error {
	var no []error
	if a.Cluster != c.Cluster {
		no = append(no, fmt.Errorf("the consent is for the cluster %s, and this one is %q: this is another cluster, whose owner has to consent", c.Cluster, a.Cluster))
	}
	no = append(no, c.covers("families", a.Families, c.Families)...)
	no = append(no, c.covers("namespaces", a.Namespaces, c.Namespaces)...)
	nodes := slices.Compact(slices.Sorted(slices.Values(a.Nodes)))
	if len(nodes) > c.Radius.Nodes {
		no = append(no, fmt.Errorf("%d nodes at the same time (%s) are too many: radius.nodes is %d (ask %s)",
			len(nodes), strings.Join(nodes, ", "), c.Radius.Nodes, c.Owner))
	}
	return append(no, c.covers("radius.losing", a.Losing, c.Radius.Losing)...)
}

// covers is why a list of the consent does not cover what is wanted.
func (c Consent) covers(field string, wanted, allowed []string) []error {
	var no []error
	for _, w := range wanted {
		if !slices.Contains(allowed, w) {
			no = append(no, fmt.Errorf("%q is not among the consent's %s, which are [%s] (ask %s)", w, field, strings.Join(allowed, ", "), c.Owner))
		}
	}
	return no
}

// period is why the consent does not cover the time from now on.
func (c Consent) period(until, now time.Time) []error {
	var no []error
	if !now.Before(c.Expires) {
		no = append(no, fmt.Errorf("the consent has expired at %s (ask %s)", c.Expires.Format(time.RFC3339), c.Owner))
	} else if until.After(c.Expires) {
		no = append(no, fmt.Errorf("it may last until %s, and the consent expires at %s", until.Format(time.RFC3339), c.Expires.Format(time.RFC3339)))
	}
	if until.Before(now) {
		return append(no, fmt.Errorf("its end, %s, has passed", until.Format(time.RFC3339)))
	}
	if c.Hours != nil {
		if err := c.Hours.allow(now, until); err != nil {
			no = append(no, err)
		}
	}
	return no
}
