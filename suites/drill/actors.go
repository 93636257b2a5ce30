package drill

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"faultline/clusters"
	"faultline/reports/record"
)

// actorExpectation is a matcher on a drill: only the leader of a component acts.
type actorExpectation struct {
	component clusters.Component
	duration  time.Duration
	problem   string
}

// HaveOneActor expects that only the leader of an elected component changes
// anything but its lock, by the audit logs of all API servers.
func HaveOneActor(component clusters.Component) *actorExpectation {
	return &actorExpectation{component: component, duration: keepFor}
}

// For sets how long to look.
func (e *actorExpectation) For(duration time.Duration) *actorExpectation {
	e.duration = duration
	return e
}

// Match implements Gomega's matcher.
func (e *actorExpectation) Match(actual any) (bool, error) {
	d, ok := actual.(*Drill)
	if !ok {
		return false, fmt.Errorf("this matcher is about a *drill.Drill, not %T", actual)
	}
	leader, err := d.Cluster.Leader(d.ctx, e.component)
	if err != nil {
		return false, err
	}
	since, end := time.Now(), d.now()+e.duration
	await(d.ctx, func() bool { return d.now() >= end })
	acted, err := d.actors(e.component, since)
	if err != nil {
		return false, err
	}
	o := record.Observation{
		Expected: fmt.Sprintf("for %s only the leading %s acts, and it does", seconds(e.duration), e.component),
		Observed: actorsText(acted),
		OK:       len(acted) == 1 && acted[leader.Node.Name] > 0,
	}
	d.observe(o)
	e.problem = fmt.Sprintf("%s (leader on %s), but: %s", o.Expected, leader.Node.Name, o.Observed)
	return o.OK, d.ctx.Err()
}

// actors counts by node what instances of a component changed, locks excepted.
// kubeadm lets every scheduler and controller manager talk to the API server
// of its own node, so the source address names the instance.
func (d *Drill) actors(component clusters.Component, since time.Time) (map[string]int, error) {
	acted := map[string]int{}
	for _, n := range d.With(clusters.ControlPlane) {
		actions, err := n.Actions(d.ctx, since)
		if err != nil {
			return nil, err
		}
		for _, a := range actions {
			if strings.HasPrefix(a.UserAgent, string(component)+"/") && !a.OnLease() {
				acted[d.nodeAt(a.SourceIP)]++
			}
		}
	}
	return acted, nil
}

// nodeAt names the node with the address, or gives the address.
func (d *Drill) nodeAt(address string) string {
	i := slices.IndexFunc(d.Nodes, func(n *clusters.Node) bool { return n.Address == address })
	if i < 0 {
		return address
	}
	return d.Nodes[i].Name
}

func actorsText(acted map[string]int) string {
	if len(acted) == 0 {
		return "nobody changed anything"
	}
	var words []string
	for name, n := range acted {
		words = append(words, fmt.Sprintf("%s made %d changes", name, n))
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// FailureMessage implements Gomega's matcher.
func (e *actorExpectation) FailureMessage(any) string { return "expected that " + e.problem }

// NegatedFailureMessage implements Gomega's matcher.
func (e *actorExpectation) NegatedFailureMessage(any) string {
	return fmt.Sprintf("expected that more than the leading %s acts", e.component)
}
