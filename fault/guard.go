package fault

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"faultline/clusters"
)

// service is a set of instances that serve together: a component, or an etcd.
type service struct {
	name      string
	component clusters.Component
	all       clusters.Instances
}

// needs is how many instances have to be there for the service to go on.
func (s service) needs() int {
	if s.component == clusters.Etcd {
		return len(s.all)/2 + 1
	}
	return 1
}

// servicesOf lists what a cluster consists of, as far as it is hit.
func servicesOf(ctx context.Context, c *clusters.Cluster, hit clusters.Instances) ([]service, error) {
	var all []service
	for _, component := range clusters.Components {
		if !slices.ContainsFunc(hit, func(i clusters.Instance) bool { return i.Component == component }) {
			continue
		}
		instances, err := c.Running(ctx, component)
		if err != nil {
			return nil, err
		}
		all = append(all, service{string(component), component, instances})
	}
	return append(all, service{"the etcd of Events", clusters.Etcd, c.EventsMembers()}), nil
}

// guard refuses an injection that takes the quorum or the last instance of a component
// which its fault does not name with Losing. It counts what open injections have taken
// and what does not run now. What was lost before cannot be lost again.
func (in *Injector) guard(ctx context.Context, i *Injection) error {
	mine := i.takes()
	services, err := servicesOf(ctx, in.cluster, mine)
	if err != nil {
		return err
	}
	for _, s := range services {
		hit := s.all.Both(mine)
		if len(hit) == 0 || slices.Contains(i.Fault.losing, s.component) {
			continue
		}
		down, err := in.down(ctx, i, s.all)
		if err != nil {
			return err
		}
		before, after := len(s.all)-len(down), len(s.all.Except(down...).Except(hit...))
		if before >= s.needs() && after < s.needs() {
			return fmt.Errorf("it would leave %d of %d instances of %s, which needs %d%s; nothing was changed. "+
				"If that is meant, name it: .Losing(%q)", after, len(s.all), s.name, s.needs(), alreadyDown(down), s.component)
		}
	}
	return nil
}

func alreadyDown(down clusters.Instances) string {
	if len(down) == 0 {
		return ""
	}
	names := make([]string, len(down))
	for n, i := range down {
		names[n] = i.String()
	}
	return ", while " + strings.Join(names, ", ") + " cannot serve already"
}

// takes lists what the injection keeps from serving.
func (i *Injection) takes() clusters.Instances {
	var all clusters.Instances
	for _, p := range i.Fault.parts {
		if p.takes != nil {
			all = append(all, p.takes(i.injector.cluster)...)
		}
	}
	return all
}

// holds lists what the injection still keeps from serving: whatever an undo has to give
// back, unless it serves meanwhile. What a signal has ended is restarted by others.
func (i *Injection) holds() clusters.Instances {
	var all clusters.Instances
	i.mu.Lock()
	effects, landed := i.effects, i.state == Landed
	i.mu.Unlock()
	for n, p := range i.Fault.parts {
		if p.takes != nil && (n >= len(effects) || effects[n].undo != nil && (!landed || !effects[n].serves)) {
			all = append(all, p.takes(i.injector.cluster)...)
		}
	}
	return all
}

// down lists the instances that other injections have taken or that do not run. A node
// that cannot be asked runs nothing.
func (in *Injector) down(ctx context.Context, mine *Injection, instances clusters.Instances) (clusters.Instances, error) {
	var taken clusters.Instances
	for _, other := range in.others(mine) {
		taken = append(taken, other.holds()...)
	}
	running := make([]bool, len(instances))
	_ = each(instances, func(n int, i clusters.Instance) error {
		p, err := i.Process(ctx)
		running[n] = err == nil && p.State != "T"
		return nil
	})
	var down clusters.Instances
	for n, i := range instances {
		if !running[n] || slices.Contains(taken, i) {
			down = append(down, i)
		}
	}
	return down, ctx.Err()
}

// others are the injections that are planned or open beside the given one.
func (in *Injector) others(mine *Injection) []*Injection {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(in.open), func(o *Injection) bool { return o == mine })
}
