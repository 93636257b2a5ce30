package clusters

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Component is a part of Kubernetes that can be lost.
type Component string

// The components. On nodes of Kubernetes the first four run as static pods.
const (
	Etcd              Component = "etcd"
	APIServer         Component = "kube-apiserver"
	Scheduler         Component = "kube-scheduler"
	ControllerManager Component = "kube-controller-manager"
	Kubelet           Component = "kubelet"
	ContainerRuntime  Component = "containerd"

	// Beside the cluster: on members with the role Balancer, and Registry.
	HAProxy        Component = "haproxy"
	Keepalived     Component = "keepalived"
	RegistryServer Component = "registry"

	// As ordinary pods: one on every node of Kubernetes, and wherever the scheduler puts it.
	KubeProxy Component = "kube-proxy"
	CoreDNS   Component = "coredns"

	// Envoy is kind's own load balancer, see Cluster.Forwarder. An image that has HAProxy
	// in Envoy's place bears the name too.
	Envoy Component = "envoy"

	// Application stands for what users run: a pod of the suite's own image. It is no part
	// of Kubernetes, so that Components does not list it and no guard looks after it.
	Application Component = "workload"
)

// Components are all that a cluster consists of.
var Components = []Component{
	Etcd, APIServer, Scheduler, ControllerManager, Kubelet, ContainerRuntime, HAProxy, Keepalived, RegistryServer,
	KubeProxy, CoreDNS, Envoy,
}

// services run on machines beside the cluster only.
var services = []Component{HAProxy, Keepalived, RegistryServer}

// Static tells whether kubeadm runs the component as a static pod.
func (c Component) Static() bool { return slices.Contains(Stack, c) }

// Elected tells whether one instance of the component leads by a lease.
func (c Component) Elected() bool { return c == Scheduler || c == ControllerManager }

// ordinary tells whether the component runs as ordinary pods.
func (c Component) ordinary() bool { return c == KubeProxy || c == CoreDNS || c == Application }

// Instance is one component on one node.
type Instance struct {
	Component Component
	Node      *Node
	// Copy is 0 for the only or first instance on the node, and 2, 3 ... for others.
	Copy int
	// Pod is the name of the pod of which a node may have several; else empty.
	Pod string
}

// Name is the instance's name on its node, which its static pod, its container and its
// manifest bear: etcd, etcd-2 ... Of what Kubernetes has placed it is the pod's.
func (i Instance) Name() string {
	if i.Pod != "" {
		return i.Pod
	}
	if i.Copy == 0 {
		return string(i.Component)
	}
	return fmt.Sprintf("%s-%d", i.Component, i.Copy)
}

// Unique names the instance among those of its component.
func (i Instance) Unique() string {
	if i.Pod != "" {
		return i.Pod
	}
	if i.Copy == 0 {
		return i.Node.Name
	}
	return fmt.Sprintf("%s-%d", i.Node.Name, i.Copy)
}

// String names the instance for people.
func (i Instance) String() string { return fmt.Sprintf("%s on %s", i.Name(), i.Node.Name) }

// Static tells whether the instance runs as a static pod of its node's kubelet.
func (i Instance) Static() bool { return i.Component.Static() && i.Node.Role.Kubernetes() }

// Unit is the systemd unit that runs the instance; empty where none does.
func (i Instance) Unit() string {
	if i.Static() || i.Component.ordinary() || i.Component == Envoy {
		return ""
	}
	return string(i.Component) + ".service"
}

// Manifest is the path of the static pod's manifest on its node.
func (i Instance) Manifest() string { return "/etc/kubernetes/manifests/" + i.Name() + ".yaml" }

// Instances are several instances of one component.
type Instances []Instance

// Instances lists the instances of a component in the order of the nodes. Of etcd it
// lists the members of the cluster's own, not those of a second one. What the scheduler
// has placed is found with Running.
func (c *Cluster) Instances(component Component) Instances {
	var all Instances
	for _, n := range c.machines() {
		if component == Etcd && n.Role != c.Topology.EtcdRole() {
			continue
		}
		all = append(all, n.Instances(component)...)
	}
	return all
}

// Instances lists the instances of a component on the node.
func (n *Node) Instances(component Component) Instances {
	if component == Kubelet || component == ContainerRuntime || component == KubeProxy {
		if !n.Role.Kubernetes() {
			return nil
		}
		return Instances{{Component: component, Node: n}}
	}
	var all Instances
	for copied := range countOf(n.components(), component) {
		i := Instance{Component: component, Node: n}
		if copied > 0 {
			i.Copy = copied + 1
		}
		all = append(all, i)
	}
	return all
}

// Everything lists the instances of all components on the node.
func (n *Node) Everything() Instances {
	var all Instances
	for _, component := range Components {
		all = append(all, n.Instances(component)...)
	}
	return all
}

// components is what the topology places on the node.
func (n *Node) components() []Component {
	if n.Components == nil && n.Role == ControlPlane {
		return Stack
	}
	return n.Components
}

// Vital is the instance whose life shows that the node works: its kubelet or, beside
// the cluster, what the machine is for.
func (n *Node) Vital() Instance {
	if n.Role.Kubernetes() {
		return Instance{Component: Kubelet, Node: n}
	}
	return Instance{Component: n.Components[0], Node: n}
}

// EtcdMembers lists the members of the cluster's etcd.
func (c *Cluster) EtcdMembers() Instances { return c.Instances(Etcd) }

// EventsMembers lists the members of the etcd that holds Events, if there is one.
func (c *Cluster) EventsMembers() Instances {
	var all Instances
	for _, n := range c.With(EventsServer) {
		all = append(all, n.Instances(Etcd)...)
	}
	return all
}

// Container is the instance's newest container as its runtime knows it.
type Container struct {
	ID      string
	State   string
	Attempt int // how many containers of the pod came before
}

// containerName is what the instance's pod calls its container.
func (i Instance) containerName() string {
	if i.Pod != "" {
		return string(i.Component)
	}
	return i.Name()
}

// Containers lists the instance's containers, newest first. It asks the node's
// runtime, so the API is not needed.
func (i Instance) Containers(ctx context.Context) ([]Container, error) {
	argv := []string{"crictl", "ps", "-a", "--name", "^" + i.containerName() + "$", "-o", "json"}
	if i.Pod != "" {
		argv = append(argv, "--label", "io.kubernetes.pod.name="+i.Pod)
	}
	out, err := i.Node.Exec(ctx, argv...)
	if err != nil {
		return nil, fmt.Errorf("containers of %s: %w", i, err)
	}
	return parseContainers(out)
}

// Log returns the last lines of the instance's newest container, or of the
// node's journal where the component is a service.
func (i Instance) Log(ctx context.Context, lines int) ([]byte, error) {
	n := strconv.Itoa(lines)
	if unit := i.Unit(); unit != "" {
		return i.Node.Exec(ctx, "journalctl", "--no-pager", "-n", n, "-u", unit)
	}
	return i.Node.Exec(ctx, "sh", "-c",
		`for f in $(ls -t /var/log/pods/kube-system_"$1"[-_]*/"$2"/*.log | head -n 3); do echo "== $f"; tail -n "$3" "$f"; done`,
		"sh", i.Name(), i.containerName(), n)
}

// Leader finds the leading instance of an elected component by its lease, or of
// etcd by asking the members.
func (c *Cluster) Leader(ctx context.Context, component Component) (Instance, error) {
	if component == Etcd {
		return c.etcdLeader(ctx)
	}
	if !component.Elected() {
		return Instance{}, fmt.Errorf("%s has no leader: all its instances are active", component)
	}
	holder, err := c.LeaseHolder(ctx, component)
	if err != nil {
		return Instance{}, err
	}
	on := c.Instances(component).On(HolderNode(holder))
	if len(on) == 0 {
		return Instance{}, fmt.Errorf("the lease of %s is held by %q, which is no node of the cluster", component, holder)
	}
	if len(on) == 1 {
		return on[0], nil
	}
	return on.leading(ctx)
}

// HolderNode is the node of a leader lock's holder, whose name it has before a random part.
func HolderNode(holder string) string {
	node, _, _ := strings.Cut(holder, "_")
	return node
}

// leadsScript asks an instance itself whether it leads, on the port $1 of its node, as
// the administrator: nobody else may read its metrics.
const leadsScript = `part() { sed -n "s/^ *client-$1-data: //p" /etc/kubernetes/admin.conf | base64 -d; }
curl --silent --show-error --insecure --fail --max-time 2 --cert <(part certificate) --key <(part key) "https://127.0.0.1:$1/metrics" |
  sed -n 's/^leader_election_master_status{.*} //p'`

// Leads asks an elected component's instance itself whether it believes that it leads,
// which the lease need not bear out.
func (i Instance) Leads(ctx context.Context) (bool, error) {
	out, err := i.Node.Exec(ctx, "bash", "-c", leadsScript, "bash", strconv.Itoa(i.Port()))
	if err != nil {
		return false, fmt.Errorf("ask %s whether it leads: %w", i, err)
	}
	return strings.TrimSpace(string(out)) == "1", nil
}

// leading finds the leader among copies on one node, whose identities in the lease
// differ in a random part only.
func (is Instances) leading(ctx context.Context) (Instance, error) {
	for _, i := range is {
		leads, err := i.Leads(ctx)
		if err != nil {
			return Instance{}, err
		}
		if leads {
			return i, nil
		}
	}
	return Instance{}, fmt.Errorf("none of %v says that it leads", is)
}

// LeaseHolder is the identity in the component's lease; empty after a release.
func (c *Cluster) LeaseHolder(ctx context.Context, component Component) (string, error) {
	client, err := c.Client(c.Front())
	if err != nil {
		return "", err
	}
	lease, err := client.CoordinationV1().Leases("kube-system").Get(ctx, string(component), metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("read the lease of %s: %w", component, err)
	}
	if lease.Spec.HolderIdentity == nil {
		return "", nil
	}
	return *lease.Spec.HolderIdentity, nil
}
