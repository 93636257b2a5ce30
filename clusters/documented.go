package clusters

// The documents are cited as A ("Out of the Clouds onto the Ground: How to Make
// Kubernetes Production Grade Anywhere", S. Wong and M. Gasch, kubernetes.io
// blog, 2018-08-03) and B ("Kubernetes High Availability", A. Chen and
// D. Tornow, 2018-10-19), with the line of the catalogue's copy.

// Documented lists every topology that the suite knows, simplest first.
func Documented() []Topology {
	return []Topology{SingleHostMinimal(), ThreeHostStacked()}
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
