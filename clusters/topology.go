// Package clusters knows control-plane layouts as plain data and what a running
// cluster of such a layout offers: nodes, component instances, API endpoints
// and etcd members. How a layout comes to run is told by the packages below.
package clusters

import (
	"fmt"
	"strings"
)

// Role is what a member's operating system is for.
type Role string

// The roles of a member of a host. The first two become Kubernetes nodes, the others
// machines beside the cluster.
const (
	ControlPlane Role = "control-plane"
	Worker       Role = "worker"
	// EtcdServer holds a member of the cluster's etcd and nothing else. With one of
	// them, no control-plane member has etcd.
	EtcdServer Role = "etcd"
	// EventsServer holds a member of a second etcd, for Events only.
	EventsServer Role = "events-etcd"
	// Balancer forwards to the API servers. Balancers share one address.
	Balancer Role = "load-balancer"
	// Database is a database outside of Kubernetes.
	Database Role = "database"
	// Registry serves images on the cluster's network.
	Registry Role = "registry"
)

var roles = []Role{ControlPlane, Worker, EtcdServer, EventsServer, Balancer, Database, Registry}

// Kubernetes tells whether members of the role are nodes of the cluster.
func (r Role) Kubernetes() bool { return r == ControlPlane || r == Worker }

// storesData tells whether members of the role have an etcd that may have a disk.
func (r Role) storesData() bool {
	return r == ControlPlane || r == EtcdServer || r == EventsServer || r == Database
}

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
	// Workloads are what the layout runs, beyond what every cluster has.
	Workloads []Workload
	// AirGapped keeps every node from leaving the cluster's network.
	AirGapped bool
}

// Host is a failure domain: its members die together.
type Host struct {
	// Name becomes the value of the node label HostLabel.
	Name    string
	Members []Member
	Disks   []Disk
	// CPUs is the set of cores that the members share, as in "0" or "0,2-3"; empty: all.
	CPUs string
	// MemoryBytes is shared evenly by the members; 0: no limit.
	MemoryBytes uint64
}

// Member is one operating system on a host: the machine itself or one of its
// virtual machines.
type Member struct {
	Role Role
	// Workloads allows ordinary pods on a control-plane member.
	Workloads bool
	// Components run here, each as often as it is named; nil means what the role has.
	Components []Component
	// Disk names the host's disk that holds the data of the member's etcd; empty: the
	// member's own volume. Several members may share a disk.
	Disk string
}

// Disk is storage of a host, one filesystem of a capped size.
type Disk struct {
	Name string
	// Bytes is the capacity of each device.
	Bytes int64
	// Devices is how many devices the disk has, 1 or, mirrored, 2.
	Devices  int
	Mirrored bool
}

// LoadBalancer is what clients of the API address.
type LoadBalancer string

// The load balancers.
const (
	// NoLoadBalancer: clients address the only API server.
	NoLoadBalancer LoadBalancer = "none"
	// OneLoadBalancer stands outside every host, as kind's does.
	OneLoadBalancer LoadBalancer = "one"
	// SharedAddress is held by one of the members with the role Balancer and moves to
	// another when that fails.
	SharedAddress LoadBalancer = "shared-address"
	// DNSRecords: one name with the addresses of all API servers, and no balancer.
	DNSRecords LoadBalancer = "dns"
)

// Workload is something that a layout runs on its nodes.
type Workload string

// The workloads.
const (
	// DNSPerHost places the cluster's DNS servers on different hosts.
	DNSPerHost Workload = "dns-per-host"
	// SpreadReplicas are replicas that repel each other by host, and others that do so
	// by node only.
	SpreadReplicas Workload = "spread-replicas"
	// LocalVolumes is a stateful set with a quorum on volumes that are bound to nodes.
	LocalVolumes Workload = "local-volumes"
	// ExternalVolume is a single database on a volume that every node can reach.
	ExternalVolume Workload = "external-volume"
	// ExternalDatabase is a client in the cluster of the members with the role Database.
	ExternalDatabase Workload = "external-database"
	// Quotas subdivides the cluster into namespaces with quotas.
	Quotas Workload = "quotas"
)

// HostLabel is the node label that names a node's failure domain. It is not
// topology.kubernetes.io/zone because node-lifecycle control acts per zone.
const HostLabel = "faultline/host"

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

// Kubernetes tells whether the layout has a Kubernetes cluster, and not only etcd.
func (t Topology) Kubernetes() bool { return t.Count(ControlPlane) > 0 }

// Stack is what kubeadm runs on a control-plane node.
var Stack = []Component{Etcd, APIServer, Scheduler, ControllerManager}

// Components is what runs on a member of the layout, repeated where there are copies.
func (t Topology) Components(m Member) []Component {
	switch {
	case m.Components != nil:
		return m.Components
	case m.Role == ControlPlane && t.Count(EtcdServer) > 0:
		return Stack[1:]
	case m.Role == ControlPlane:
		return Stack
	case m.Role == EtcdServer || m.Role == EventsServer || m.Role == Database:
		return []Component{Etcd}
	case m.Role == Balancer:
		return []Component{HAProxy, Keepalived}
	case m.Role == Registry:
		return []Component{RegistryServer}
	default:
		return nil
	}
}

// count is how many instances of a component members of a role have.
func (t Topology) count(role Role, component Component) int {
	n := 0
	for _, m := range t.Members() {
		if m.Role == role {
			n += countOf(t.Components(m), component)
		}
	}
	return n
}

func countOf(components []Component, wanted Component) int {
	n := 0
	for _, c := range components {
		if c == wanted {
			n++
		}
	}
	return n
}

// EtcdRole is the role of the members that have the cluster's etcd.
func (t Topology) EtcdRole() Role {
	if t.Count(EtcdServer) > 0 {
		return EtcdServer
	}
	return ControlPlane
}

// EtcdSize is the number of members of the cluster's etcd.
func (t Topology) EtcdSize() int { return t.count(t.EtcdRole(), Etcd) }

// Memory of members, from measurements of idle and recovering clusters.
const (
	mebi         = 1 << 20
	masterMemory = 1100 * mebi // about 0.7 GiB when idle
	workerMemory = 500 * mebi  // about 0.4 GiB when idle
	serverMemory = 100 * mebi  // an operating system with etcd or HAProxy
	copyMemory   = 250 * mebi  // a further copy of a component on a node
)

// MemoryBytes is what the layout needs.
func (t Topology) MemoryBytes() uint64 {
	return t.sum(masterMemory, workerMemory, serverMemory, copyMemory)
}

// sum adds what each member needs, and each further copy of a component on a master.
func (t Topology) sum(master, worker, server, further uint64) uint64 {
	var sum uint64
	for _, m := range t.Members() {
		switch m.Role {
		case ControlPlane:
			sum += master + uint64(max(0, len(t.Components(m))-len(Stack)))*further
		case Worker:
			sum += worker
		default:
			sum += server
		}
	}
	return sum
}

// DiskBytes is what the nodes' writable layers and volumes need.
func (t Topology) DiskBytes() uint64 {
	var sum uint64
	for _, m := range t.Members() {
		if m.Role.Kubernetes() {
			sum += 3 << 30 / 2
		} else {
			sum += 128 * mebi
		}
	}
	return sum
}

// Inotify instances of root's processes, counted on clusters with all pods running.
const (
	masterInotify = 22 // systemd 4, kubelet 7, containerd 2, kube-proxy 1, API server 6, controller manager 2
	workerInotify = 14
	serverInotify = 4
	copyInotify   = 6 // a further copy of a component on a node, at most
	leaderInotify = 5 // the controller manager that leads
)

// InotifyInstances are those of root that the layout's nodes keep open.
func (t Topology) InotifyInstances() uint64 {
	sum := t.sum(masterInotify, workerInotify, serverInotify, copyInotify)
	if t.Kubernetes() {
		sum += leaderInotify
	}
	return sum
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
