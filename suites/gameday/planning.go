package gameday

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"faultline/clusters"
	"faultline/clusters/existing"
	"faultline/fault"
	"faultline/suites/gameday/consent"
	"faultline/suites/gameday/plan"
	"faultline/suites/gameday/stop"
	"faultline/suites/probe"
)

// validity is how long a plan may be run.
const validity = 12 * time.Hour

// margin is how much longer than it is held a fault may last before the nodes undo it by
// themselves.
const margin = 2 * time.Minute

// Target is the cluster that a day is held on, as far as nothing is changed. existing.Target
// is one.
type Target interface {
	Identity(context.Context) (existing.Identity, error)
	ConfigMap(ctx context.Context, namespace, name string) (*corev1.ConfigMap, error)
	Discover(ctx context.Context, hostLabel string) (*existing.Found, error)
}

// Planning is what a plan is made of.
type Planning struct {
	Target Target
	Found  *existing.Found
	// Names are the experiments, each perhaps with a node: worker:n5. Empty: every one that the
	// consent allows.
	Names []string
	Hold  time.Duration
	// Pods tells that nodes are reached over pods of ours.
	Pods bool
}

// Plan writes down what a game day would do. It changes nothing. The cluster's owner has to
// have consented to each experiment.
func (p Planning) Plan(ctx context.Context, now time.Time) (plan.Plan, error) {
	target, allowed, err := p.consented(ctx)
	if err != nil {
		return plan.Plan{}, err
	}
	made := plan.Plan{
		Version: plan.Version, CreatedAt: now.Truncate(time.Second), ExpiresAt: now.Truncate(time.Second).Add(validity),
		Target: target, Unknown: p.Found.Unknown, Stop: stop.Limits{ErrorRate: defaultErrorRate}.Filled(),
	}
	names, chosen := p.Names, len(p.Names) > 0
	if !chosen {
		names = everyChoice()
	}
	var errs []error
	for _, name := range names {
		e, err := p.experiment(ctx, name)
		if err == nil {
			err = allowed.Allows(p.action(target, e, now), now)
		}
		switch {
		case err == nil:
			made.Experiments = append(made.Experiments, e)
		case chosen:
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		default:
			made.Unknown = append(made.Unknown, fmt.Sprintf("left out %s: %s", name, strings.ReplaceAll(err.Error(), "\n", "; ")))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return plan.Plan{}, err
	}
	if len(made.Experiments) == 0 {
		return plan.Plan{}, fmt.Errorf("no experiment is possible and allowed:\n%s", strings.Join(made.Unknown, "\n"))
	}
	return made, nil
}

// Check tells why the plan cannot be run on the cluster now: it is another one, it has
// changed, or its owner does not allow an experiment. It changes nothing.
func (p Planning) Check(ctx context.Context, made plan.Plan, now time.Time) error {
	target, allowed, err := p.consented(ctx)
	if err != nil {
		return err
	}
	if err := made.Matches(target, now); err != nil {
		return fmt.Errorf("the plan is not for this cluster as it is now; make another one with: make gameday-plan: %w", err)
	}
	var errs []error
	for _, e := range made.Experiments {
		if err := p.same(ctx, e); err != nil {
			errs = append(errs, err)
		} else if err := allowed.Allows(p.action(target, e, now), now); err != nil {
			errs = append(errs, fmt.Errorf("the consent does not allow experiment %s now: %w", e.Name, err))
		}
	}
	return errors.Join(errs...)
}

// same tells how an experiment differs from what its name means on this cluster now.
func (p Planning) same(ctx context.Context, planned plan.Experiment) error {
	fresh, err := p.experiment(ctx, planned.Name)
	if err != nil {
		return err
	}
	fresh.Hold, fresh.Takes = planned.Hold, planned.Takes // those are the plan's to say
	if !equality.Semantic.DeepEqual(fresh, planned) {     // an empty list is as good as none
		return fmt.Errorf("experiment %s is another one by now: the plan says %s of %v, today it is %s of %v; make another plan with: make gameday-plan",
			planned.Name, planned.Fault, planned.Targets, fresh.Fault, fresh.Targets)
	}
	return nil
}

// defaultErrorRate stops an experiment that costs half of what it should leave alone.
const defaultErrorRate = 0.5

// consented reads who the cluster is and what its owner allows.
func (p Planning) consented(ctx context.Context) (plan.Target, consent.Consent, error) {
	identity, err := p.Target.Identity(ctx)
	if err != nil {
		return plan.Target{}, consent.Consent{}, err
	}
	stored, err := p.Target.ConfigMap(ctx, consent.Namespace, consent.Name)
	if err != nil {
		return plan.Target{}, consent.Consent{}, fmt.Errorf("the cluster's owner has not consented: config map %s/%s: %w; the owner makes it with: make gameday-consent",
			consent.Namespace, consent.Name, err)
	}
	allowed, err := consent.Parse([]byte(stored.Data[consent.Key]))
	if err != nil {
		return plan.Target{}, consent.Consent{}, fmt.Errorf("the consent in config map %s/%s: %w", consent.Namespace, consent.Name, err)
	}
	target := plan.Target{
		Name: p.Found.Cluster.Name, Server: identity.Server, CA: identity.CA, UID: identity.UID,
		Consent: string(stored.UID) + "/" + stored.ResourceVersion,
	}
	for _, n := range p.Found.Cluster.Nodes {
		listed := plan.Node{Name: n.Name, Role: string(n.Role), Host: n.Host, Address: n.Address}
		for _, c := range n.Components {
			listed.Components = append(listed.Components, string(c))
		}
		target.Nodes = append(target.Nodes, listed)
	}
	return target, allowed, nil
}

// experiment is a choice as a plan has it.
func (p Planning) experiment(ctx context.Context, name string) (plan.Experiment, error) {
	c := p.Found.Cluster
	h, err := pick(ctx, c, name)
	if err != nil {
		return plan.Experiment{}, err
	}
	entry, err := entryOf(h.fault.Kind)
	if err != nil {
		return plan.Experiment{}, err
	}
	outcome := c.Topology.Predict(h.loss)
	e := plan.Experiment{
		Name: name, Fault: string(h.fault.Kind), Family: entry.Family, Targets: h.fault.Targets(), Nodes: h.nodes(),
		Hold: stop.Duration(p.Hold), Takes: stop.Duration(p.Hold + c.Timing.LeaseTakeover().Upper), Undo: entry.Undo,
		Predicted: plan.Prediction(outcome),
	}
	for _, component := range h.losing {
		e.Losing = append(e.Losing, string(component))
	}
	return e, nil
}

func pick(ctx context.Context, c *clusters.Cluster, name string) (hit, error) {
	choice, node, err := find(name)
	if err != nil {
		return hit{}, err
	}
	return choice.pick(ctx, c, node)
}

// nodes are those that are hit. The neighbours of one that is cut off only bear packet rules.
func (h hit) nodes() []string {
	var names []string
	for _, n := range slices.Concat(h.cut, h.around) {
		names = append(names, n.Name)
	}
	if len(names) == 0 {
		return h.fault.Nodes()
	}
	return names
}

func entryOf(kind fault.Kind) (fault.Entry, error) {
	catalogue := fault.Catalogue()
	at := slices.IndexFunc(catalogue, func(e fault.Entry) bool { return e.Kind == kind })
	if at < 0 {
		return fault.Entry{}, fmt.Errorf("fault %q is in no catalogue", kind)
	}
	return catalogue[at], nil
}

// action is what the experiment does, for the consent: from now until the nodes have undone
// it by themselves at the latest.
func (p Planning) action(target plan.Target, e plan.Experiment, now time.Time) consent.Action {
	return consent.Action{
		Cluster: target.UID, Families: []string{e.Family}, Namespaces: p.namespaces(), Nodes: e.Nodes, Losing: e.Losing,
		Until: now.Add(time.Duration(e.Hold) + margin),
	}
}

// namespaces are those in which something is created.
func (p Planning) namespaces() []string {
	all := probe.Namespaces()
	if p.Pods {
		all = append(all, existing.Namespace)
	}
	return all
}
