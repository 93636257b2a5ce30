package clusters

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
)

var (
	namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$`)
	cpusPattern = regexp.MustCompile(`^\d+(-\d+)?(,\d+(-\d+)?)*$`)
)

// smallestDisk is what a filesystem with etcd's write-ahead log, preallocated in
// pieces of 64 MiB, and a small database fits into.
const smallestDisk = 256 * mebi

// Validate reports everything that makes the layout impossible to run.
func (t Topology) Validate() error {
	v := &validation{name: t.Name}
	if !namePattern.MatchString(t.Name) {
		v.bad("the name has to be lower-case letters, digits and dashes")
	}
	seen := map[string]bool{}
	for _, h := range t.Hosts {
		if seen[h.Name] {
			v.bad("host %q is listed twice", h.Name)
		}
		seen[h.Name] = true
		v.host(h)
	}
	if len(t.Members()) == 0 {
		v.bad("no host has a member")
	} else {
		v.control(t)
	}
	return errors.Join(v.errs...)
}

// validation gathers what is wrong with a layout.
type validation struct {
	name string
	errs []error
}

func (v *validation) bad(format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf("topology %q: "+format, append([]any{v.name}, args...)...))
}

func (v *validation) host(h Host) {
	if !namePattern.MatchString(h.Name) {
		v.bad("host name %q has to be lower-case letters, digits and dashes", h.Name)
	}
	if len(h.Members) == 0 {
		v.bad("host %q has no member", h.Name)
	}
	if h.CPUs != "" && !cpusPattern.MatchString(h.CPUs) {
		v.bad("host %q: CPU set %q, want something like 0 or 0,2-3", h.Name, h.CPUs)
	}
	for _, d := range h.Disks {
		v.disk(h, d)
	}
	for _, m := range h.Members {
		v.member(h, m)
	}
}

func (v *validation) disk(h Host, d Disk) {
	where := fmt.Sprintf("host %q, disk %q", h.Name, d.Name)
	if !namePattern.MatchString(d.Name) {
		v.bad("%s: the name has to be lower-case letters, digits and dashes", where)
	}
	if d.Bytes < smallestDisk {
		v.bad("%s: %d bytes are too few for etcd, which needs %d", where, d.Bytes, int64(smallestDisk))
	}
	switch {
	case d.Mirrored && d.Devices != 2:
		v.bad("%s: a mirror has 2 devices, this one has %d", where, d.Devices)
	case !d.Mirrored && d.Devices != 1:
		v.bad("%s: a disk that is no mirror has 1 device, this one has %d", where, d.Devices)
	}
	if n := slices.IndexFunc(h.Disks, func(o Disk) bool { return o.Name == d.Name }); h.Disks[n] != d {
		v.bad("%s is listed twice", where)
	}
}

func (v *validation) member(h Host, m Member) {
	if !slices.Contains(roles, m.Role) {
		v.bad("host %q: unknown role %q, want one of %v", h.Name, m.Role, roles)
	}
	for _, c := range m.Components {
		if !slices.Contains(Stack, c) {
			v.bad("host %q: %q cannot be placed, want one of %v", h.Name, c, Stack)
		}
	}
	if len(m.Components) > 0 && !m.Role.Kubernetes() {
		v.bad("host %q: what a member with the role %s runs cannot be chosen", h.Name, m.Role)
	}
	if m.Disk == "" {
		return
	}
	if !m.Role.storesData() {
		v.bad("host %q: a member with the role %s stores nothing on a disk", h.Name, m.Role)
	}
	if !slices.ContainsFunc(h.Disks, func(d Disk) bool { return d.Name == m.Disk }) {
		v.bad("host %q has no disk %q", h.Name, m.Disk)
	}
}

// control checks what the members make together.
func (v *validation) control(t Topology) {
	switch t.LoadBalancer {
	case NoLoadBalancer, OneLoadBalancer, SharedAddress, DNSRecords:
	default:
		v.bad("unknown load balancer %q, want %s, %s, %s or %s", t.LoadBalancer, NoLoadBalancer, OneLoadBalancer, SharedAddress, DNSRecords)
	}
	if t.EtcdSize() == 0 {
		v.bad("no member has etcd")
	}
	if !t.Kubernetes() {
		v.bareEtcd(t)
		return
	}
	for _, c := range Stack[1:] {
		if t.count(ControlPlane, c)+t.count(Worker, c) == 0 {
			v.bad("no member has the %s", c)
		}
	}
	servers := t.count(ControlPlane, APIServer)
	// kind adds a load balancer exactly when there are several control-plane nodes.
	several := t.Count(ControlPlane) > 1
	if (several || servers > 1) == (t.LoadBalancer == NoLoadBalancer) || t.LoadBalancer == OneLoadBalancer && !several {
		v.bad("%d API servers on %d control-plane members do not go with load balancer %q", servers, t.Count(ControlPlane), t.LoadBalancer)
	}
	if (t.LoadBalancer == SharedAddress) != (t.Count(Balancer) > 0) {
		v.bad("%d members with the role %s do not go with load balancer %q", t.Count(Balancer), Balancer, t.LoadBalancer)
	}
	if t.count(ControlPlane, Etcd) > 0 && t.Count(EtcdServer) > 0 {
		v.bad("etcd is both on control-plane members and on members of its own")
	}
	if !slices.ContainsFunc(t.Members(), Member.runsWorkloads) {
		v.bad("no member runs workloads")
	}
	v.workloads(t)
}

// bareEtcd checks a layout without Kubernetes.
func (v *validation) bareEtcd(t Topology) {
	if t.Count(EtcdServer)+t.Count(Database) != len(t.Members()) {
		v.bad("no member has the role %s, so that all have to have the role %s or %s", ControlPlane, EtcdServer, Database)
	}
	if t.LoadBalancer != NoLoadBalancer {
		v.bad("no API server does not go with load balancer %q", t.LoadBalancer)
	}
	if len(t.Workloads) > 0 || t.AirGapped {
		v.bad("nothing can run without Kubernetes")
	}
}

func (v *validation) workloads(t Topology) {
	for _, w := range t.Workloads {
		if !slices.Contains([]Workload{DNSPerHost, SpreadReplicas, LocalVolumes, ExternalVolume, ExternalDatabase, Quotas}, w) {
			v.bad("unknown workload %q", w)
		}
	}
	if slices.Contains(t.Workloads, ExternalDatabase) != (t.Count(Database) > 0) {
		v.bad("the workload %s goes with a member that has the role %s", ExternalDatabase, Database)
	}
	if t.AirGapped != (t.Count(Registry) > 0) {
		v.bad("an air-gapped network goes with a member that has the role %s", Registry)
	}
}

func (m Member) runsWorkloads() bool { return m.Role == Worker || m.Workloads }
