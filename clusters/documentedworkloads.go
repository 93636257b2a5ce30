package clusters

import "fmt"

// workloadLayouts are what the documents say about placing workloads and their data.
func workloadLayouts() []Topology {
	return []Topology{
		DNSOnHosts(), AntiAffinity(), StatefulLocal(3), StatefulLocal(2), ExternalVolumes(), ExternalDB(), Namespaces(), AirGap(),
	}
}

// master is a control plane on a host of its own before workers on the given hosts.
func master(name, source string, workers ...Host) Topology {
	return Topology{
		Name: name, Source: source, LoadBalancer: NoLoadBalancer,
		Hosts: append([]Host{{Name: "m1", Members: members(ControlPlane, 1)}}, workers...),
	}
}

// workersOn gives each host a number of workers.
func workersOn(counts ...int) []Host {
	var hosts []Host
	for i, n := range counts {
		hosts = append(hosts, Host{Name: fmt.Sprintf("h%d", i+1), Members: members(Worker, n)})
	}
	return hosts
}

// DNSOnHosts has the cluster's DNS servers on different hosts (A:L31).
func DNSOnHosts() Topology {
	t := master("dns-per-host", "A:L31", workersOn(1, 1)...)
	t.Workloads = []Workload{DNSPerHost}
	return t
}

// AntiAffinity has two virtual machines on each of three hosts, and replicas that
// repel each other by host beside some that do so only by node (A:L110).
func AntiAffinity() Topology {
	t := Topology{Name: "anti-affinity", Source: "A:L110", LoadBalancer: NoLoadBalancer, Hosts: workersOn(1, 2, 2)}
	t.Hosts[0].Members = append([]Member{{Role: ControlPlane}}, t.Hosts[0].Members...)
	t.Workloads = []Workload{SpreadReplicas}
	return t
}

// StatefulLocal has a stateful set with a quorum of two of three on volumes that are
// bound to nodes, over three hosts or, one host with two of them, over two (A:L114).
func StatefulLocal(hosts int) Topology {
	t := master("stateful-local", "A:L114", workersOn(1, 1, 1)...)
	if hosts == 2 {
		t = master("stateful-local-two-plus-one", "A:L114", workersOn(2, 1)...)
	}
	t.Workloads = []Workload{LocalVolumes}
	return t
}

// ExternalVolumes has a single database on a volume outside the nodes, which document A
// recommends for services that do not cluster (A:L112, A:L113).
func ExternalVolumes() Topology {
	t := master("external-volume", "A:L112", workersOn(1, 1)...)
	t.Workloads = []Workload{ExternalVolume}
	return t
}

// ExternalDB has a database in a virtual machine outside of Kubernetes, which document A
// calls an acceptable alternative (A:L113).
func ExternalDB() Topology {
	t := master("external-database", "A:L113", Host{Name: "h1", Members: members(Worker, 1)}, Host{Name: "db1", Members: members(Database, 1)})
	t.Workloads = []Workload{ExternalDatabase}
	return t
}

// Namespaces subdivides one cluster into several with quotas (A:L74).
func Namespaces() Topology {
	t := master("namespaces", "A:L74", workersOn(1)...)
	t.Workloads = []Workload{Quotas}
	return t
}

// AirGap has no way out of its network and takes images from a registry on it
// (A:L79, A:L97).
func AirGap() Topology {
	t := master("air-gapped", "A:L97", Host{Name: "h1", Members: members(Worker, 1)}, Host{Name: "r1", Members: members(Registry, 1)})
	t.AirGapped = true
	return t
}
