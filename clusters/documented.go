package clusters

import (
	"fmt"
	"slices"
)

// The documents are cited as A ("Out of the Clouds onto the Ground: How to Make
// Kubernetes Production Grade Anywhere", S. Wong and M. Gasch, kubernetes.io
// blog, 2018-08-03) and B ("Kubernetes High Availability", A. Chen and
// D. Tornow, 2018-10-19), with the line of the catalogue's copy.

// Documented lists every topology that the suite knows, by the number of hosts.
func Documented() []Topology {
	return []Topology{
		SingleHostMinimal(), SingleHostVMs(),
		TwoHostMinimal(),
		ThreeHostStacked(), ThreeHostVMs(),
		SingleMaster(), MultiMaster(2), MultiMaster(4),
	}
}

// SingleHostMinimal has one of everything on one operating system. Document A
// calls it a home lab: several single points of failure (A:L50).
func SingleHostMinimal() Topology {
	return Topology{
		Name:   "single-host-minimal",
		Source: "A:L50",
		Hosts: []Host{
			{Name: "h1", Members: []Member{{Role: ControlPlane, Workloads: true}}},
		},
		LoadBalancer: NoLoadBalancer,
	}
}

// SingleHostVMs has three masters with etcd and a worker, each in a virtual machine
// of its own, on one host. Document A expects protection from bugs and human error
// and less disruptive updates; the hypervisor stays a single point of failure
// (A:L45, A:L53).
func SingleHostVMs() Topology {
	return Topology{
		Name:   "single-host-vms",
		Source: "A:L53",
		Hosts: []Host{
			{Name: "h1", Members: append(members(ControlPlane, 3), Member{Role: Worker})},
		},
		LoadBalancer: OneLoadBalancer,
	}
}

// TwoHostMinimal has one of every component on one host and workloads on the other.
// Document A sees an isolation benefit at best: etcd stays a single point of
// failure, so that doubling the other masters would be pointless (A:L59).
func TwoHostMinimal() Topology {
	return Topology{
		Name:   "two-host-minimal",
		Source: "A:L59",
		Hosts: []Host{
			{Name: "h1", Members: members(ControlPlane, 1)},
			{Name: "h2", Members: members(Worker, 1)},
		},
		LoadBalancer: NoLoadBalancer,
	}
}

// ThreeHostStacked has etcd, an API server, a scheduler and a controller manager
// on each of three hosts, and workers on two of them. Document A says that losing
// one node reduces capacity and does not bring Kubernetes down (A:L63, A:L68).
func ThreeHostStacked() Topology {
	return Topology{
		Name:   "three-host-stacked",
		Source: "A:L68",
		Hosts: []Host{
			{Name: "h1", Members: []Member{{Role: ControlPlane}, {Role: Worker}}},
			{Name: "h2", Members: []Member{{Role: ControlPlane}, {Role: Worker}}},
			{Name: "h3", Members: []Member{{Role: ControlPlane}}},
		},
		LoadBalancer: OneLoadBalancer,
	}
}

// ThreeHostVMs has a virtual machine with a master and one with workloads on each
// of three hosts. Document A adds protection from bugs of operating system, runtime
// and software, and from human error (A:L69).
func ThreeHostVMs() Topology {
	t := Topology{Name: "three-host-vms", Source: "A:L69", LoadBalancer: OneLoadBalancer}
	for _, name := range []string{"h1", "h2", "h3"} {
		t.Hosts = append(t.Hosts, Host{Name: name, Members: []Member{{Role: ControlPlane}, {Role: Worker}}})
	}
	return t
}

// SingleMaster has one master and two workers that talk straight to its API server.
// Document B: the cluster depends on the one master and on every worker's
// connection to it, and is not highly available (B:L14 to B:L19).
func SingleMaster() Topology {
	return Topology{
		Name:         "single-master",
		Source:       "B:L14",
		Hosts:        hostEach(append(members(ControlPlane, 1), members(Worker, 2)...)),
		LoadBalancer: NoLoadBalancer,
	}
}

// MultiMaster has three masters and some workers, each on a host of its own; the
// workers reach the masters through a load balancer. Document B: no single point of
// failure as long as the load balancer is highly available, which this one is not
// (B:L20 to B:L26).
func MultiMaster(workers int) Topology {
	name := "multi-master"
	if workers != 2 {
		name = fmt.Sprintf("multi-master-%d-workers", workers)
	}
	return Topology{
		Name:         name,
		Source:       "B:L20",
		Hosts:        hostEach(append(members(ControlPlane, 3), members(Worker, workers)...)),
		LoadBalancer: OneLoadBalancer,
	}
}

// members is several members of the same role.
func members(role Role, count int) []Member {
	return slices.Repeat([]Member{{Role: role}}, count)
}

// hostEach gives each member a host of its own.
func hostEach(members []Member) []Host {
	var hosts []Host
	for i, m := range members {
		hosts = append(hosts, Host{Name: fmt.Sprintf("h%d", i+1), Members: []Member{m}})
	}
	return hosts
}
