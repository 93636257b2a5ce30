package clusters

import (
	"fmt"
	"slices"
)

// etcdLayouts are the sizes and placements of etcd that document A discusses.
func etcdLayouts() []Topology {
	all := []Topology{
		ExternalEtcd(), FiveEtcd(), SevenEtcd(), EtcdTwoPlusOne(), EvenEtcd(),
		ThreeEtcdOneHost(OwnDisks), ThreeEtcdOneHost(MirroredDisk), ThreeEtcdOneHost(OneDisk),
		EventsEtcd(1), EventsEtcd(3),
	}
	for n := 1; n <= 9; n++ {
		all = append(all, BareEtcd(n))
	}
	return append(all, BareEtcdOwnDisks(3), BareEtcdOnTwoHosts(3, 0), BareEtcdOnTwoHosts(2, 1))
}

// withEtcd is two masters, on hosts of their own, before etcd on the given hosts.
func withEtcd(name, source string, etcd []Host) Topology {
	masters := []Host{
		{Name: "m1", Members: []Member{{Role: ControlPlane, Workloads: true}}},
		{Name: "m2", Members: []Member{{Role: ControlPlane, Workloads: true}}},
	}
	return Topology{Name: name, Source: source, Hosts: append(masters, etcd...), LoadBalancer: OneLoadBalancer}
}

// ExternalEtcd has etcd on three hosts of its own beside three masters, as document B
// recommends for some highly available and large clusters (B:L22, A:L22).
func ExternalEtcd() Topology {
	t := withEtcd("external-etcd", "A:L22", hostEach(members(EtcdServer, 3)))
	t.Hosts = slices.Insert(t.Hosts, 2, Host{Name: "m3", Members: []Member{{Role: ControlPlane, Workloads: true}}})
	return t
}

// FiveEtcd has the five members that document A calls best practice: one may be in
// maintenance while another fails (A:L39).
func FiveEtcd() Topology { return withEtcd("five-etcd", "A:L39", hostEach(members(EtcdServer, 5))) }

// SevenEtcd has the seven members that document A recommends at most (A:L39).
func SevenEtcd() Topology { return withEtcd("seven-etcd", "A:L39", hostEach(members(EtcdServer, 7))) }

// EtcdTwoPlusOne is TwoHostSplitMasters with one of the three members on the other
// host. Document A: no gain over all three on one (A:L54).
func EtcdTwoPlusOne() Topology {
	return Topology{
		Name:   "etcd-two-plus-one",
		Source: "A:L54",
		Hosts: []Host{
			{Name: "h1", Members: append(members(EtcdServer, 2), Member{Role: ControlPlane, Workloads: true})},
			{Name: "h2", Members: append(members(EtcdServer, 1), Member{Role: ControlPlane, Workloads: true})},
		},
		LoadBalancer: OneLoadBalancer,
	}
}

// EvenEtcd has four members, two on each of two hosts. Document A asks for odd
// numbers: a fourth member needs a majority of three and adds nothing (A:L26, A:L54).
func EvenEtcd() Topology {
	return Topology{
		Name:   "even-etcd",
		Source: "A:L26",
		Hosts: []Host{
			{Name: "h1", Members: append(members(EtcdServer, 2), Member{Role: ControlPlane, Workloads: true})},
			{Name: "h2", Members: append(members(EtcdServer, 2), Member{Role: ControlPlane, Workloads: true})},
		},
		LoadBalancer: OneLoadBalancer,
	}
}

// DiskVariant is how three members on one host are stored.
type DiskVariant string

// The variants of ThreeEtcdOneHost.
const (
	// OwnDisks: a disk for each member, the first that document A recommends (A:L46).
	OwnDisks DiskVariant = "own-disks"
	// MirroredDisk: parts of one mirror, the second that it recommends (A:L46).
	MirroredDisk DiskVariant = "mirrored-disk"
	// OneDisk: one plain disk for all, which is what it warns of.
	OneDisk DiskVariant = "one-disk"
)

// disk is what the n-th member is stored on.
func (v DiskVariant) disk(n int) Disk {
	switch v {
	case OwnDisks:
		return plainDisk(fmt.Sprintf("disk%d", n+1))
	case MirroredDisk:
		return mirror("mirror")
	default:
		return plainDisk("disk")
	}
}

// ThreeEtcdOneHost has etcd's three members in virtual machines of one host, on
// storage of a variant (A:L39, A:L46).
func ThreeEtcdOneHost(variant DiskVariant) Topology {
	h := Host{Name: "h1", Members: members(EtcdServer, 3)}
	for n := range h.Members {
		disk := variant.disk(n)
		h.Members[n].Disk = disk.Name
		if !slices.Contains(h.Disks, disk) {
			h.Disks = append(h.Disks, disk)
		}
	}
	h.Members = append(h.Members, Member{Role: ControlPlane, Workloads: true})
	return Topology{Name: "three-etcd-one-host-" + string(variant), Source: "A:L46", Hosts: []Host{h}, LoadBalancer: NoLoadBalancer}
}

// EventsEtcd has a second etcd, of one or three members, that holds Events only, so
// that a storm of them does not hit the main store (A:L44).
func EventsEtcd(size int) Topology {
	hosts := []Host{{Name: "h1", Members: []Member{{Role: ControlPlane, Workloads: true}}}}
	for n := range size {
		hosts = append(hosts, Host{Name: fmt.Sprintf("e%d", n+1), Members: members(EventsServer, 1)})
	}
	name := "events-etcd"
	if size != 1 {
		name = fmt.Sprintf("events-etcd-%d-members", size)
	}
	return Topology{Name: name, Source: "A:L44", Hosts: hosts, LoadBalancer: NoLoadBalancer}
}

// BareEtcd is etcd alone, a member on each host: for what needs no Kubernetes
// (A:L26, A:L39; more than seven are the exception of A:L40).
func BareEtcd(size int) Topology {
	return Topology{
		Name: fmt.Sprintf("bare-etcd-%d", size), Source: "A:L39",
		Hosts: hostEach(members(EtcdServer, size)), LoadBalancer: NoLoadBalancer,
	}
}

// BareEtcdOwnDisks is etcd alone, each member on a disk of its own, whose speed decides how
// the member fares (A:L41 to A:L46).
func BareEtcdOwnDisks(size int) Topology {
	t := BareEtcd(size)
	t.Name, t.Source = t.Name+"-own-disks", "A:L46"
	for n := range t.Hosts {
		t.Hosts[n].Disks = []Disk{plainDisk("plain")}
		t.Hosts[n].Members[0].Disk = "plain"
	}
	return t
}

// BareEtcdOnTwoHosts is three members of etcd alone, so many on each of two hosts: 2+1
// gains nothing over 3+0 (A:L54). On the second host is also a database of its own, so
// that there is something to lose without any member.
func BareEtcdOnTwoHosts(first, second int) Topology {
	return Topology{
		Name: fmt.Sprintf("bare-etcd-%d-plus-%d", first, second), Source: "A:L54",
		Hosts: []Host{
			{Name: "h1", Members: members(EtcdServer, first)},
			{Name: "h2", Members: append(members(EtcdServer, second), Member{Role: Database})},
		},
		LoadBalancer: NoLoadBalancer,
	}
}
