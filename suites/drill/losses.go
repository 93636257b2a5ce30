package drill

import (
	"slices"

	"faultline/clusters"
	"faultline/fault"
	"faultline/suites/labels"
)

// losses names what the experiment takes away, by the spec's labels. A report compares
// layouts, in which a host is what runs on it: its name says nothing.
func (d *Drill) losses() []string {
	names := slices.Clone(d.experiment.Loses)
	i := slices.Index(names, labels.Host)
	if i < 0 {
		return names
	}
	taken := slices.DeleteFunc(slices.Clone(d.injections), func(i *fault.Injection) bool {
		return hostLoss(d.Topology, d.Nodes, i.Fault.Targets()) == ""
	})
	var hosts []string
	for _, injection := range taken {
		name := hostLoss(d.Topology, d.Nodes, targetsWith(injection, taken))
		if !slices.Contains(hosts, name) {
			hosts = append(hosts, name)
		}
	}
	if len(hosts) == 0 {
		return names // it did not come to that
	}
	return slices.Replace(names, i, i+1, hosts...)
}

// targetsWith are the targets of a fault and of those that were in effect at the same time: hosts may
// be lost in turn.
func targetsWith(i *fault.Injection, all []*fault.Injection) []string {
	var targets []string
	for _, other := range all {
		if !over(i.Instants(), other.Instants()) && !over(other.Instants(), i.Instants()) {
			targets = append(targets, other.Fault.Targets()...)
		}
	}
	return targets
}

// over tells whether a fault was undone when another was injected.
func over(one, other fault.Instants) bool {
	return !one.Undone.IsZero() && one.Undone.Before(other.Injecting)
}

// hostLoss names the hosts among targets; empty where no node is one.
func hostLoss(t clusters.Topology, nodes []*clusters.Node, targets []string) string {
	hit, left := map[string]int{}, map[string]int{}
	for _, n := range nodes {
		if slices.Contains(targets, "node "+n.Name) {
			hit[n.Host]++
		} else {
			left[n.Host]++
		}
	}
	var whole []clusters.Host
	for _, h := range t.Hosts {
		if hit[h.Name] > 0 && left[h.Name] == 0 {
			whole = append(whole, h)
		}
	}
	switch {
	case len(hit) == 0:
		return ""
	case len(whole) == 0:
		return "virtual machine"
	case len(whole) == 1:
		return hostName(t, whole[0])
	case len(whole) == 2:
		return "two hosts"
	default:
		return "several hosts"
	}
}

// hostName tells a host by the part of it that is missed most.
func hostName(t clusters.Topology, h clusters.Host) string {
	running := map[clusters.Component]int{}
	for _, m := range h.Members {
		for _, c := range t.Components(m) {
			if c != clusters.Etcd || m.Role == t.EtcdRole() { // no etcd of another purpose
				running[c]++
			}
		}
	}
	switch etcd := running[clusters.Etcd]; {
	case etcd > 0 && 2*etcd >= t.EtcdSize():
		return "host with etcd's quorum"
	case etcd > 0:
		return "host with etcd"
	case running[clusters.APIServer]+running[clusters.Scheduler]+running[clusters.ControllerManager] > 0:
		return "host with a master"
	case slices.ContainsFunc(h.Members, func(m clusters.Member) bool { return m.Role == clusters.Worker }):
		return "host of workers"
	case running[clusters.HAProxy] > 0:
		return "host of a load balancer"
	default:
		return labels.Host
	}
}
