package clusters

import (
	"cmp"
	"context"
	"errors"
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
)

// Components are all that there are.
var Components = []Component{
	Etcd, APIServer, Scheduler, ControllerManager, Kubelet, ContainerRuntime, HAProxy, Keepalived, RegistryServer,
	KubeProxy, CoreDNS, Envoy,
}

// services run on machines beside the cluster only.
var services = []Component{HAProxy, Keepalived, RegistryServer}

// Static tells whether kubeadm runs the component as a static pod.
func (c Component) Static() bool { return slices.Contains(stack, c) }

// Elected tells whether one instance of the component leads by a lease.
func (c Component) Elected() bool { return c == Scheduler || c == ControllerManager }

// addon tells whether Kubernetes itself runs the component, as ordinary pods.
func (c Component) addon() bool { return c == KubeProxy || c == CoreDNS }

// processNames is a pattern of what the kernel calls the component's processes: at most
// 15 bytes (TASK_COMM_LEN).
func (c Component) processNames() string {
	if c == Envoy {
		return "envoy|haproxy"
	}
	return string(c)[:min(len(c), 15)]
}

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
	if i.Static() || i.Component.addon() || i.Component == Envoy {
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
		return stack
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

// Process is a process of an instance, in its node's process namespace.
type Process struct {
	PID int
	// StartTicks is field 22 of /proc/PID/stat: together with the PID it
	// identifies a process even when numbers are used again.
	StartTicks uint64
	// State is field 3 of /proc/PID/stat: R, S, D, T (stopped), Z ...
	State string
}

// ErrNoProcess says that an instance has no process now.
var ErrNoProcess = errors.New("no process")

// CopyVariable is in the environment of a further copy of a component, with the number
// of the copy. It tells copies apart for those who look at processes.
const CopyVariable = "FAULTLINE_COPY"

// ProcStatFunction is procstat, a function of a shell that sets state and start to fields 3 and 22 of
// /proc/$1/stat, or to nothing when there is no such process. The name between the
// parentheses may hold blanks and parentheses itself. A process of its own takes longer to
// start than all of this, so there is none.
const ProcStatFunction = `procstat() {
  line=
  read -r line 2>/dev/null <"/proc/$1/stat" || true
  IFS=')'
  set -- $line
  unset IFS
  while [ $# -gt 1 ]; do shift; done
  set -- $1
  state=$1
  [ $# -lt 20 ] || shift 19
  start=$1
}
`

// ListProcesses prints PID, state and start ticks of every process whose name is one of
// $1, separated by |, and that is the copy $2, or no copy if that is 0, and whose
// container has the hostname $3, if that is not empty. It starts one process for each
// that it finds.
const ListProcesses = ProcStatFunction + `nl='
'
cd /proc
for p in [0-9]*; do
  name=
  read -r name <"$p/comm" || continue
  case "|$1|" in *"|$name|"*) ;; *) continue ;; esac
  variables=$nl$(tr '\0' '\n' <"$p/environ")$nl
  case "$2$variables" in
    0*"$nl"` + CopyVariable + `=*) continue ;;
    0* | *"$nl"` + CopyVariable + `="$2$nl"*) ;;
    *) continue ;;
  esac
  case "$variables" in *"$nl"HOSTNAME="$3$nl"*) ;; *) [ -z "$3" ] || continue ;; esac
  procstat "$p"
  [ -z "$state" ] || echo "$p $state $start"
done 2>/dev/null
true`

// ProcessArguments are the arguments with which ListProcesses finds the instance. A pod's
// hostname is its name, but with the node's network it is the node's: that tells a
// static pod from a workload that runs the same program.
func (i Instance) ProcessArguments() []string {
	hostname := i.Pod
	if i.Static() {
		hostname = i.Node.Name
	}
	return []string{i.Component.processNames(), strconv.Itoa(i.Copy), hostname}
}

// Processes finds the instance's processes, the first of which is the oldest, by asking
// the node's kernel, which works whatever state the API and the container runtime are
// in. It returns ErrNoProcess when there is none.
func (i Instance) Processes(ctx context.Context) ([]Process, error) {
	out, err := i.Node.Exec(ctx, append([]string{"sh", "-c", ListProcesses, "sh"}, i.ProcessArguments()...)...)
	if err != nil {
		return nil, fmt.Errorf("look for the process of %s: %w", i, err)
	}
	var all []Process
	for line := range strings.Lines(string(out)) {
		p, err := parseProcess(line)
		if err != nil {
			return nil, fmt.Errorf("look for the process of %s: %w", i, err)
		}
		if p.State != "Z" && p.State != "X" {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: %w", i, ErrNoProcess)
	}
	slices.SortFunc(all, func(a, b Process) int {
		return cmp.Or(cmp.Compare(a.StartTicks, b.StartTicks), cmp.Compare(a.PID, b.PID))
	})
	return all, nil
}

// Process is the first of the instance's processes.
func (i Instance) Process(ctx context.Context) (Process, error) {
	all, err := i.Processes(ctx)
	if err != nil {
		return Process{}, err
	}
	return all[0], nil
}

func parseProcess(line string) (Process, error) {
	f := strings.Fields(line)
	if len(f) != 3 {
		return Process{}, fmt.Errorf("process line %q: want PID, state and start", line)
	}
	pid, err := strconv.Atoi(f[0])
	if err != nil {
		return Process{}, fmt.Errorf("process line %q: %w", line, err)
	}
	start, err := strconv.ParseUint(f[2], 10, 64)
	if err != nil {
		return Process{}, fmt.Errorf("process line %q: %w", line, err)
	}
	return Process{PID: pid, State: f[1], StartTicks: start}, nil
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
	node, _, _ := strings.Cut(holder, "_")
	on := c.Instances(component).On(node)
	if len(on) == 0 {
		return Instance{}, fmt.Errorf("the lease of %s is held by %q, which is no node of the cluster", component, holder)
	}
	if len(on) == 1 {
		return on[0], nil
	}
	return on.leading(ctx)
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
