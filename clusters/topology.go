// Package clusters knows control-plane layouts as plain data and what a running
// cluster of such a layout offers: nodes, component instances, API endpoints
// and etcd members. How a layout comes to run is told by the packages below.
package clusters

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Role is what a node's operating system is for.
type Role string

// The roles of a member of a host.
const (
	ControlPlane Role = "control-plane"
	Worker       Role = "worker"
)

// Topology is a layout of a control plane over hosts. It is data: nothing here
// has been created yet.
type Topology struct {
	// Name is the layout's name on command lines and in reports.
	Name string
	// Source cites the document line that describes the layout.
	Source string
	// Hosts are the failure domains.
	Hosts []Host
	// LoadBalancer tells what stands between clients and the API servers.
	LoadBalancer LoadBalancer
}

// Host is a failure domain: its members die together.
type Host struct {
	// Name becomes the value of the node label HostLabel.
	Name    string
	Members []Member
}

// Member is one operating system on a host: the machine itself or one of its
// virtual machines. It becomes a Kubernetes node.
type Member struct {
	Role Role
	// Workloads allows ordinary pods on a control-plane member.
	Workloads bool
}

// LoadBalancer is what clients of the API address.
type LoadBalancer string

// The load balancers.
const (
	// NoLoadBalancer: clients address the only API server.
	NoLoadBalancer LoadBalancer = "none"
	// OneLoadBalancer stands outside every host, as kind's does.
	OneLoadBalancer LoadBalancer = "one"
)

// HostLabel is the node label that names a node's failure domain. It is not
// topology.kubernetes.io/zone because node-lifecycle control acts per zone.
const HostLabel = "faultline/host"

var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$`)

// Validate reports everything that makes the layout impossible to run.
func (t Topology) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("topology %q: "+format, append([]any{t.Name}, args...)...))
	}
	if !namePattern.MatchString(t.Name) {
		bad("the name has to be lower-case letters, digits and dashes")
	}
	seen := map[string]bool{}
	for _, h := range t.Hosts {
		if !namePattern.MatchString(h.Name) {
			bad("host name %q has to be lower-case letters, digits and dashes", h.Name)
		}
		if seen[h.Name] {
			bad("host %q is listed twice", h.Name)
		}
		seen[h.Name] = true
		if len(h.Members) == 0 {
			bad("host %q has no member", h.Name)
		}
		for _, m := range h.Members {
			if m.Role != ControlPlane && m.Role != Worker {
				bad("host %q: unknown role %q, want %s or %s", h.Name, m.Role, ControlPlane, Worker)
			}
		}
	}
	masters := t.Count(ControlPlane)
	if masters == 0 {
		bad("no member has the role %s", ControlPlane)
	}
	if t.LoadBalancer != NoLoadBalancer && t.LoadBalancer != OneLoadBalancer {
		bad("unknown load balancer %q, want %s or %s", t.LoadBalancer, NoLoadBalancer, OneLoadBalancer)
	}
	// kind adds a load balancer exactly when there are several control-plane nodes.
	if (masters > 1) != (t.LoadBalancer == OneLoadBalancer) {
		bad("%d control-plane members do not go with load balancer %q", masters, t.LoadBalancer)
	}
	if !slices.ContainsFunc(t.Members(), Member.runsWorkloads) {
		bad("no member runs workloads")
	}
	return errors.Join(errs...)
}

// Members lists the members of all hosts, host by host.
func (t Topology) Members() []Member {
	var all []Member
	for _, h := range t.Hosts {
		all = append(all, h.Members...)
	}
	return all
}

// Count is the number of members with the role.
func (t Topology) Count(role Role) int {
	n := 0
	for _, m := range t.Members() {
		if m.Role == role {
			n++
		}
	}
	return n
}

// SinglePoints names what takes the API's writes away when it alone is lost: a host,
// the load balancer, or every instance of a component. Every master has an etcd
// member, so that losing masters is losing members.
func (t Topology) SinglePoints() []string {
	var points []string
	masters := t.Count(ControlPlane)
	survives := func(lost int) bool { return masters-lost > masters/2 }
	for _, h := range t.Hosts {
		if lost := (Topology{Hosts: []Host{h}}).Count(ControlPlane); !survives(lost) {
			points = append(points, "host "+h.Name)
		}
	}
	switch {
	case masters == 1:
		points = append(points, "every component")
	case !survives(1):
		points = append(points, "every etcd member")
	}
	if t.LoadBalancer == OneLoadBalancer {
		points = append(points, "load balancer")
	}
	return points
}

func (m Member) runsWorkloads() bool { return m.Role == Worker || m.Workloads }

// MemoryBytes is what the layout needs, from measurements of idle and recovering
// clusters: about 0.7 GiB for a control-plane node and 0.4 GiB for a worker.
func (t Topology) MemoryBytes() uint64 {
	const mebi = 1 << 20
	return uint64(t.Count(ControlPlane))*1100*mebi + uint64(t.Count(Worker))*500*mebi
}

// DiskBytes is what the nodes' writable layers and volumes need.
func (t Topology) DiskBytes() uint64 {
	return uint64(len(t.Members())) * (3 << 30) / 2
}

// Find returns the documented topology of that name. The error lists all names.
func Find(name string) (Topology, error) {
	var names []string
	for _, t := range Documented() {
		if t.Name == name {
			return t, nil
		}
		names = append(names, t.Name)
	}
	return Topology{}, fmt.Errorf("unknown topology %q; known are: %s", name, strings.Join(names, ", "))
}
