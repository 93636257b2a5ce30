package clusters

import (
	"fmt"
	"slices"
)

// The documents are cited as A ("Out of the Clouds onto the Ground: How to Make
// Kubernetes Production Grade Anywhere", S. Wong and M. Gasch, kubernetes.io
// blog, 2018-08-03) and B ("Kubernetes High Availability", A. Chen and
// D. Tornow, 2018-10-19), with the line of the catalogue's copy.

// Documented lists every topology that the suite knows, by theme.
func Documented() []Topology {
	return slices.Concat(hostLayouts(), masterLayouts(), etcdLayouts(), workloadLayouts())
}

// hostLayouts are the options of document A for one, two and three hosts.
func hostLayouts() []Topology {
	return []Topology{
		SingleHostMinimal(), SingleHostMirroredDisk(), SingleHostStaticPods(), SingleHostVMs(),
		TwoHostMinimal(), TwoHostSpread(), TwoHostDual(), TwoHostMirroredDisk(), TwoHostSplitMasters(), TwoHostVMs(),
		ThreeHostStacked(), ThreeHostVMs(),
	}
}

// masterLayouts are those of document B, and their ways to the API.
func masterLayouts() []Topology {
	return []Topology{SingleMaster(), MultiMaster(2), MultiMaster(4), MultiMasterTwoLBs(), MultiMasterDNS()}
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

// SingleHostMirroredDisk is SingleHostMinimal with etcd on a mirror of two devices. It
// is to survive the failure of one storage device, and nothing else (A:L51).
func SingleHostMirroredDisk() Topology {
	return Topology{
		Name:   "single-host-mirrored-disk",
		Source: "A:L51",
		Hosts: []Host{{
			Name:    "h1",
			Disks:   []Disk{mirror("mirror")},
			Members: []Member{{Role: ControlPlane, Workloads: true, Disk: "mirror"}},
		}},
		LoadBalancer: NoLoadBalancer,
	}
}

// SingleHostStaticPods has two API servers, schedulers and controller managers and
// three etcd members as static pods of one kubelet, behind a load balancer
// beside the host. Document A expects some protection from bugs in software;
// operating system and runtime stay single points of failure (A:L47, A:L52).
func SingleHostStaticPods() Topology {
	return Topology{
		Name:   "single-host-static-pods",
		Source: "A:L52",
		Hosts: []Host{
			{Name: "h1", Members: []Member{{Role: ControlPlane, Workloads: true, Components: []Component{
				Etcd, Etcd, Etcd, APIServer, APIServer, Scheduler, Scheduler, ControllerManager, ControllerManager,
			}}}},
			{Name: "lb1", Members: members(Balancer, 1)},
		},
		LoadBalancer: SharedAddress,
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

// TwoHostSpread has the single instances spread over both hosts. Document A: that
// makes an outage more likely, because either host's loss is one (A:L59).
func TwoHostSpread() Topology {
	return Topology{
		Name:   "two-host-spread",
		Source: "A:L59",
		Hosts: []Host{
			{Name: "h1", Members: []Member{{Role: ControlPlane, Components: []Component{Etcd, APIServer}}}},
			{Name: "h2", Members: []Member{{Role: Worker, Components: []Component{Scheduler, ControllerManager}}}},
		},
		LoadBalancer: NoLoadBalancer,
	}
}

// TwoHostDual doubles API server, scheduler and controller manager beside a single
// etcd. Document A: pointless, because etcd's host stays as fatal as before (A:L59).
func TwoHostDual() Topology {
	return Topology{
		Name:   "two-host-dual",
		Source: "A:L59",
		Hosts: []Host{
			{Name: "h1", Members: []Member{{Role: EtcdServer}, {Role: ControlPlane}}},
			{Name: "h2", Members: []Member{{Role: ControlPlane, Workloads: true}}},
		},
		LoadBalancer: OneLoadBalancer,
	}
}

// TwoHostMirroredDisk is TwoHostMinimal with etcd on a mirror of two devices: it can
// recover from the failure of a storage device (A:L60).
func TwoHostMirroredDisk() Topology {
	t := TwoHostMinimal()
	t.Name, t.Source = "two-host-mirrored-disk", "A:L60"
	t.Hosts[0].Disks = []Disk{mirror("mirror")}
	t.Hosts[0].Members[0].Disk = "mirror"
	return t
}

// TwoHostSplitMasters has etcd's three members on one host and masters on both.
// Document A: the loss or an update of the host without etcd is less disruptive
// (A:L54, A:L61).
func TwoHostSplitMasters() Topology {
	return Topology{
		Name:   "two-host-split-masters",
		Source: "A:L61",
		Hosts: []Host{
			{Name: "h1", Members: append(members(EtcdServer, 3), Member{Role: ControlPlane, Workloads: true})},
			{Name: "h2", Members: []Member{{Role: ControlPlane, Workloads: true}}},
		},
		LoadBalancer: OneLoadBalancer,
	}
}

// TwoHostVMs has etcd's three members and two masters in virtual machines on one
// host, a third master on the other, and a worker on both. Document A: better
// isolation, and planned maintenance that disrupts nothing if virtual machines
// can migrate (A:L56, A:L62).
func TwoHostVMs() Topology {
	return Topology{
		Name:   "two-host-vms",
		Source: "A:L62",
		Hosts: []Host{
			{Name: "h1", Members: slices.Concat(members(EtcdServer, 3), members(ControlPlane, 2), members(Worker, 1))},
			{Name: "h2", Members: append(members(ControlPlane, 1), Member{Role: Worker})},
		},
		LoadBalancer: OneLoadBalancer,
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
// and software, and from human error (A:L65, A:L69).
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

// Growth is control planes of one to five masters without workers, which no document
// has: only their cost is of interest.
func Growth() []Topology {
	var all []Topology
	for _, n := range []int{1, 3, 5} {
		t := Topology{Name: fmt.Sprintf("masters-%d", n), LoadBalancer: OneLoadBalancer}
		for _, m := range members(ControlPlane, n) {
			m.Workloads = true
			t.Hosts = append(t.Hosts, Host{Name: fmt.Sprintf("h%d", len(t.Hosts)+1), Members: []Member{m}})
		}
		if n == 1 {
			t.LoadBalancer = NoLoadBalancer
		}
		all = append(all, t)
	}
	return all
}

// MultiMasterTwoLBs is the highly available load balancer that document B asks for:
// two of them, each on a host of its own, share an address that moves (B:L21, A:L33).
func MultiMasterTwoLBs() Topology {
	t := MultiMaster(2)
	t.Name, t.Source, t.LoadBalancer = "multi-master-two-lbs", "B:L21", SharedAddress
	t.Hosts = append(t.Hosts, Host{Name: "lb1", Members: members(Balancer, 1)}, Host{Name: "lb2", Members: members(Balancer, 1)})
	return t
}

// MultiMasterDNS has no load balancer: one name has the addresses of all masters,
// which document A calls an alternative (A:L33).
func MultiMasterDNS() Topology {
	t := MultiMaster(2)
	t.Name, t.Source, t.LoadBalancer = "multi-master-dns", "A:L33", DNSRecords
	return t
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

// diskSize is ample for etcd in experiments and small enough to be filled quickly.
const diskSize = 1 << 30

func plainDisk(name string) Disk { return Disk{Name: name, Bytes: diskSize, Devices: 1} }

func mirror(name string) Disk {
	return Disk{Name: name, Bytes: diskSize, Devices: 2, Mirrored: true}
}
