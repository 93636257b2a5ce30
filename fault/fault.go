// Package fault breaks one thing, proves that it broke, and undoes it, even
// from another process. What it does to a node is data: commands that need the
// node's kernel and systemd but neither this process nor the API server, unless they act
// on what that server holds.
package fault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"faultline/clusters"
)

// Kind names a fault in journals, records and catalogues.
type Kind string

// Fault is what to break, as a value: nothing happens until an Injector injects
// it. Its constructors tell what each fault does, proves and undoes.
type Fault struct {
	Kind Kind
	// TTL is when the nodes undo the fault by themselves. It has to cover the
	// whole experiment: a fault that outlives its TTL is not in effect any more.
	TTL time.Duration

	parts  []part
	losing []clusters.Component
}

// DefaultTTL is the TTL of a fault that names none.
const DefaultTTL = 10 * time.Minute

// The limits of a TTL: the shorter would end before the fault has landed, the
// longer is no dead man's switch.
const (
	minTTL = time.Second
	maxTTL = 24 * time.Hour
)

// part is what a fault does to one target.
type part struct {
	kind Kind
	// target names what is hit, for people and because a target bears one fault
	// at a time.
	target string
	node   *clusters.Node
	// takes lists what cannot serve while the part is in effect, for the guard; nil:
	// everything goes on.
	takes func(*clusters.Cluster) clusters.Instances
	// plan looks at the target and says what to do to it. It changes nothing and
	// refuses what makes no sense there.
	plan func(ctx context.Context, id string) (effect, error)
}

// effect is a planned part: what to run on the node, and how to tell that it worked.
type effect struct {
	id     string
	kind   Kind
	target string
	node   *clusters.Node

	// inject is the action. undo takes it back, is idempotent, and is nil where
	// nothing outlives the action: then there is nothing to arm either.
	inject, undo []string
	// passes says that the action is over when it has landed; undo is for one that was cut off.
	passes bool
	// serves says that what is hit serves again when the fault has landed, if otherwise than before.
	serves bool
	// input is what the action reads on its standard input: what is large, or must not be
	// seen in a list of processes. nil: nothing.
	input []byte
	// arm sets the dead man's switch, with one command after the other; nil means a systemd
	// timer on the node.
	arm func(ttl time.Duration) [][]string
	// prove returns the evidence that the effect is there now.
	prove func(context.Context) (string, error)
	// landing limits the time from the action to the proof.
	landing time.Duration
	// recovered returns since when the target has been well.
	recovered func(context.Context) (time.Time, error)
}

// act runs the action on the node.
func (e effect) act(ctx context.Context) error {
	if e.input == nil {
		return e.run(ctx, e.inject)
	}
	if _, err := e.node.ExecInput(ctx, bytes.NewReader(e.input), e.inject...); err != nil {
		return fmt.Errorf("%s: %w", e.target, err)
	}
	return nil
}

// run runs one of the effect's commands on its node.
func (e effect) run(ctx context.Context, argv []string) error {
	if _, err := e.node.Exec(ctx, argv...); err != nil {
		return fmt.Errorf("%s: %w", e.target, err)
	}
	return nil
}

// WithTTL is the fault with another dead man's time.
func (f Fault) WithTTL(ttl time.Duration) Fault {
	f.TTL = ttl
	return f
}

// Losing is the fault with the components named whose quorum or last instance it is
// meant to take. The guard refuses to take those of any other.
func (f Fault) Losing(components ...clusters.Component) Fault {
	f.losing = append(slices.Clone(f.losing), components...)
	return f
}

// Targets names everything that the fault hits.
func (f Fault) Targets() []string {
	var all []string
	for _, p := range f.parts {
		all = append(all, p.target)
	}
	return all
}

// Nodes names the nodes of the targets, each once.
func (f Fault) Nodes() []string {
	var all []string
	for _, p := range f.parts {
		if p.node != nil && !slices.Contains(all, p.node.Name) {
			all = append(all, p.node.Name)
		}
	}
	return all
}

// String tells the fault to people.
func (f Fault) String() string {
	if f.Kind != KindTogether {
		return string(f.Kind) + " " + strings.Join(f.Targets(), ", ")
	}
	texts := make([]string, len(f.parts))
	for n, p := range f.parts {
		texts[n] = string(p.kind) + " " + p.target
	}
	return strings.Join(texts, " and ")
}

// Available returns nil when the fault can be injected here and now, else the
// reason why it cannot. It changes nothing.
func (f Fault) Available(ctx context.Context) error {
	_, err := f.plan(ctx, "check")
	return err
}

// plan asks every part, and fails when a single one refuses.
func (f Fault) plan(ctx context.Context, id string) ([]effect, error) {
	if err := f.validate(); err != nil {
		return nil, err
	}
	effects := make([]effect, len(f.parts))
	err := each(f.parts, func(n int, p part) error {
		partID := fmt.Sprintf("%s-%d", id, n)
		e, err := p.plan(ctx, partID)
		if err != nil {
			return err
		}
		e.id, e.kind, e.target = partID, p.kind, p.target
		switch {
		case e.node != nil:
		case p.node.Enter != nil:
			e = e.fromHere(p.node)
		default:
			e.node = p.node
		}
		effects[n] = e
		return nil
	})
	return effects, err
}

// validate reports what is wrong with the description, without looking at a node.
func (f Fault) validate() error {
	if len(f.parts) == 0 {
		return errors.New("no target given: name at least one instance")
	}
	if f.TTL < minTTL || f.TTL > maxTTL {
		return fmt.Errorf("the TTL %s is out of range: want %s to %s", f.TTL, minTTL, maxTTL)
	}
	targets := f.Targets()
	for n, t := range targets {
		if f.parts[n].node == nil {
			return fmt.Errorf("target %d has no node: take instances from a running cluster", n+1)
		}
		if slices.Contains(targets[:n], t) {
			return fmt.Errorf("%s is named twice", t)
		}
	}
	return nil
}

// planner plans a fault on one instance.
type planner func(ctx context.Context, i clusters.Instance, id string) (effect, error)

// onInstances is a fault that does the same to each of several instances.
func onInstances(kind Kind, instances []clusters.Instance, plan planner) Fault {
	f := Fault{Kind: kind, TTL: DefaultTTL}
	for _, i := range instances {
		p := part{kind: kind, target: string(i.Component), node: i.Node, takes: exactly(i)}
		if i.Node != nil {
			p.target = i.String()
		}
		p.plan = func(ctx context.Context, id string) (effect, error) {
			if !slices.Contains(clusters.Components, i.Component) && (i.Component != clusters.Application || i.Pod == "") {
				return effect{}, fmt.Errorf("unknown component %q, want one of %v", i.Component, clusters.Components)
			}
			return plan(ctx, i, id)
		}
		f.parts = append(f.parts, p)
	}
	return f
}

// exactly is for a part that takes the given instances, whatever the cluster.
func exactly(instances ...clusters.Instance) func(*clusters.Cluster) clusters.Instances {
	return func(*clusters.Cluster) clusters.Instances { return instances }
}

// command is a script with its arguments $1, $2 ...
func command(script string, args ...string) []string {
	return append([]string{"sh", "-c", script, "faultline"}, args...)
}
