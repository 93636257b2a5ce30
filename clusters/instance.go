package clusters

import (
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

// The components. The first four run as static pods.
const (
	Etcd              Component = "etcd"
	APIServer         Component = "kube-apiserver"
	Scheduler         Component = "kube-scheduler"
	ControllerManager Component = "kube-controller-manager"
	Kubelet           Component = "kubelet"
	ContainerRuntime  Component = "containerd"
)

// Static tells whether the component runs as a static pod of its node.
func (c Component) Static() bool {
	return c == Etcd || c == APIServer || c == Scheduler || c == ControllerManager
}

// Elected tells whether one instance of the component leads by a lease.
func (c Component) Elected() bool { return c == Scheduler || c == ControllerManager }

// Manifest is the path of the static pod's manifest on its node.
func (c Component) Manifest() string {
	return "/etc/kubernetes/manifests/" + string(c) + ".yaml"
}

// processName is what the kernel calls the process: at most 15 bytes (TASK_COMM_LEN).
func (c Component) processName() string { return string(c)[:min(len(c), 15)] }

// Instance is one component on one node.
type Instance struct {
	Component Component
	Node      *Node
}

// String names the instance for people.
func (i Instance) String() string { return fmt.Sprintf("%s on %s", i.Component, i.Node.Name) }

// Instances are several instances of one component.
type Instances []Instance

// Instances lists the instances of a component in the order of the nodes.
func (c *Cluster) Instances(component Component) Instances {
	var all Instances
	for _, n := range c.Nodes {
		if n.Role == ControlPlane || !component.Static() {
			all = append(all, Instance{component, n})
		}
	}
	return all
}

// EtcdMembers lists the etcd members.
func (c *Cluster) EtcdMembers() Instances { return c.Instances(Etcd) }

// Majority is the smallest set whose loss takes the majority away from n
// members: with three or four members two. Members that are not in it stay.
func (is Instances) Majority() Instances {
	return is[:(len(is)+1)/2]
}

// Minority is the largest set whose loss leaves a majority.
func (is Instances) Minority() Instances { return is[:(len(is)-1)/2] }

// Except lists the instances other than those given.
func (is Instances) Except(others ...Instance) Instances {
	return slices.DeleteFunc(slices.Clone(is), func(i Instance) bool { return slices.Contains(others, i) })
}

// On lists the instances on a node.
func (is Instances) On(node string) Instances {
	return slices.DeleteFunc(slices.Clone(is), func(i Instance) bool { return i.Node.Name != node })
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

// listProcesses prints PID, state and start ticks of every process of a name.
// The name is dropped from the line first: it may hold blanks.
const listProcesses = `for p in $(pgrep -x "$1"); do
  [ -r "/proc/$p/stat" ] && sed 's/(.*)/_/' "/proc/$p/stat" | cut -d' ' -f1,3,22
done; true`

// Process finds the instance's process by asking the node's kernel, which works
// whatever state the API and the container runtime are in. It returns
// ErrNoProcess when there is none.
func (i Instance) Process(ctx context.Context) (Process, error) {
	out, err := i.Node.Exec(ctx, "sh", "-c", listProcesses, "sh", i.Component.processName())
	if err != nil {
		return Process{}, fmt.Errorf("look for the process of %s: %w", i, err)
	}
	for line := range strings.Lines(string(out)) {
		p, err := parseProcess(line)
		if err != nil {
			return Process{}, fmt.Errorf("look for the process of %s: %w", i, err)
		}
		if p.State != "Z" && p.State != "X" {
			return p, nil
		}
	}
	return Process{}, fmt.Errorf("%s: %w", i, ErrNoProcess)
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

// Containers lists the instance's containers, newest first. It asks the node's
// runtime, so the API is not needed.
func (i Instance) Containers(ctx context.Context) ([]Container, error) {
	out, err := i.Node.Exec(ctx, "sh", "-c", `crictl ps -a --name "^$1$" -o json`, "sh", string(i.Component))
	if err != nil {
		return nil, fmt.Errorf("containers of %s: %w", i, err)
	}
	return parseContainers(out)
}

// Log returns the last lines of the instance's newest container, or of the
// node's journal where the component is a service.
func (i Instance) Log(ctx context.Context, lines int) ([]byte, error) {
	n := strconv.Itoa(lines)
	if !i.Component.Static() {
		return i.Node.Exec(ctx, "journalctl", "--no-pager", "-n", n, "-u", string(i.Component))
	}
	return i.Node.Exec(ctx, "sh", "-c",
		`for f in $(ls -t /var/log/pods/kube-system_"$1"-*/"$1"/*.log | head -n 3); do echo "== $f"; tail -n "$2" "$f"; done`,
		"sh", string(i.Component), n)
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
	return on[0], nil
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
