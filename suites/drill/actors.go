package drill

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"faultline/clusters"
	"faultline/reports/record"
)

// actorExpectation is a matcher on a drill: only the leaders of components act.
type actorExpectation struct {
	components []clusters.Component
	duration   time.Duration
	problems   []string
}

// HaveOneActor expects that of each elected component only the leader changes
// anything but its lock, by the audit logs of all API servers.
func HaveOneActor(components ...clusters.Component) *actorExpectation {
	return &actorExpectation{components: components, duration: keepFor}
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
	leaders := map[clusters.Component]string{}
	for _, component := range e.components {
		leader, err := d.Cluster.Leader(d.ctx, component)
		if err != nil {
			leaders[component] = "nobody: " + err.Error()
			continue
		}
		leaders[component] = leader.Node.Name
	}
	d.expects(fmt.Sprintf("for %s only leaders act", seconds(e.duration)))
	since, end := time.Now(), d.now()+e.duration
	await(d.ctx, func() bool { return d.now() >= end })
	for _, component := range e.components {
		if err := e.judge(d, component, leaders[component], since); err != nil {
			return false, err
		}
	}
	return len(e.problems) == 0, d.ctx.Err()
}

func (e *actorExpectation) judge(d *Drill, component clusters.Component, leader string, since time.Time) error {
	acted, err := d.actors(component, since, anything)
	if err != nil {
		return err
	}
	o := record.Observation{
		Expected: fmt.Sprintf("for %s only the leading %s acts, and it does", seconds(e.duration), component),
		Observed: actorsText(acted),
		OK:       len(acted) == 1 && acted[leader] > 0,
	}
	d.observe(o)
	if !o.OK {
		e.problems = append(e.problems, fmt.Sprintf("%s (leader: %s), but: %s", o.Expected, leader, o.Observed))
	}
	return nil
}

// actors counts by node what instances of a component did that counts, locks excepted.
// kubeadm lets every scheduler and controller manager talk to the API server
// of its own node, so the source address names the instance.
func (d *Drill) actors(component clusters.Component, since time.Time, counts func(clusters.Action) bool) (map[string]int, error) {
	acted := map[string]int{}
	for _, n := range d.With(clusters.ControlPlane) {
		actions, err := n.Actions(d.ctx, since)
		if err != nil {
			return nil, err
		}
		for _, a := range actions {
			if strings.HasPrefix(a.UserAgent, string(component)+"/") && !a.OnLease() && counts(a) {
				acted[d.nodeAt(a.SourceIP)]++
			}
		}
	}
	return acted, nil
}

// anything counts what was refused, too: who has no office must not even try.
func anything(clusters.Action) bool { return true }

// Acts fails unless an instance has changed something since an instant, locks excepted, by
// the audit logs.
func (d *Drill) Acts(i clusters.Instance, since time.Time) error {
	acted, err := d.actors(i.Component, since, anything)
	if err != nil {
		return err
	}
	return d.Saw(i.String()+" changes things", actorsText(acted), Unless(acted[i.Node.Name] > 0, nil))
}

// SeveralAct fails unless more than one instance of a component has changed some of the resources
// since an instant, by the audit logs. What the API has refused is no change.
func (d *Drill) SeveralAct(component clusters.Component, since time.Time, resources ...string) error {
	acted, err := d.actors(component, since, func(a clusters.Action) bool {
		return a.Code < http.StatusMultipleChoices && slices.Contains(resources, a.Resource)
	})
	if err != nil {
		return err
	}
	return d.Saw(fmt.Sprintf("more than one %s changes %s", component, strings.Join(resources, " and ")), actorsText(acted), Unless(len(acted) > 1, nil))
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
func (e *actorExpectation) FailureMessage(any) string {
	return "expected that " + strings.Join(e.problems, "; ")
}

// NegatedFailureMessage implements Gomega's matcher.
func (e *actorExpectation) NegatedFailureMessage(any) string {
	return fmt.Sprintf("expected that others than the leaders of %v act", e.components)
}
