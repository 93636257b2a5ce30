package clusters

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AwaitShape waits until the cluster is what its topology promises and healthy:
// nodes with their roles and hosts, ready; instances, etcd members, leases and
// API addresses where they belong; the settings of the timing profile in force.
// It proves a new cluster's shape, and after an experiment that the cluster is
// as good as new.
func (c *Cluster) AwaitShape(ctx context.Context) error {
	return Await(ctx, 500*time.Millisecond, "the shape of "+c.Name, c.CheckShape)
}

// CheckShape compares the cluster with its topology once.
func (c *Cluster) CheckShape(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	checks := []func(context.Context) error{c.checkPresence, c.checkEtcd, c.checkProcesses, c.checkDisks}
	if c.Topology.Kubernetes() {
		checks = []func(context.Context) error{
			c.checkPresence, c.checkAPIServers, c.checkNodes, c.checkSystemPods, c.checkLeases, c.checkEndpoints,
			c.checkEtcd, c.checkProcesses, c.checkConnections, c.checkFront, c.checkDisks, c.checkWorkloads,
		}
	}
	for _, check := range checks {
		if err := check(ctx); err != nil {
			return err
		}
	}
	return nil
}

// checkPresence proves that each host has the machines that the topology names.
func (c *Cluster) checkPresence(context.Context) error {
	for _, h := range c.Topology.Hosts {
		for _, role := range roles {
			want := (Topology{Hosts: []Host{h}}).Count(role)
			have := slices.DeleteFunc(c.With(role), func(n *Node) bool { return n.Host != h.Name })
			if len(have) != want {
				return fmt.Errorf("host %s has %d members with the role %s, topology %s has %d", h.Name, len(have), role, c.Topology.Name, want)
			}
		}
	}
	return nil
}

// checkAPIServers asks every endpoint, each directly, whether it is ready.
func (c *Cluster) checkAPIServers(ctx context.Context) error {
	endpoints := c.APIServers()
	if c.Balancer != nil {
		endpoints = append(endpoints, *c.Balancer)
	}
	for _, e := range endpoints {
		if err := c.checkReady(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) checkReady(ctx context.Context, e Endpoint) error {
	client, err := c.Client(e)
	if err != nil {
		return err
	}
	body, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	if failing := FailingChecks(string(body)); err != nil && failing != "" {
		return fmt.Errorf("the API through %s (%s) is not ready: %s", e.Name, e.Address, failing)
	}
	if err != nil {
		return fmt.Errorf("the API through %s (%s) is not ready: %w", e.Name, e.Address, err)
	}
	return nil
}

// FailingChecks keeps of a verbose answer of /readyz, /healthz or /livez only the lines that
// failed.
func FailingChecks(answer string) string {
	var lines []string
	for line := range strings.Lines(answer) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "[-]") || strings.HasSuffix(line, "check failed") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

// checkNodes compares the API's nodes with the promised ones.
func (c *Cluster) checkNodes(ctx context.Context) error {
	client, err := c.Client(c.Front())
	if err != nil {
		return err
	}
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	if want := c.Topology.Count(ControlPlane) + c.Topology.Count(Worker); len(list.Items) != want {
		return fmt.Errorf("the API knows %d nodes, topology %s has %d", len(list.Items), c.Topology.Name, want)
	}
	var errs []error
	for _, seen := range list.Items {
		n, err := c.Node(seen.Name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, c.checkNode(n, seen))
	}
	return errors.Join(errs...)
}

func (c *Cluster) checkNode(n *Node, seen corev1.Node) error {
	if host := seen.Labels[c.HostLabel]; c.HostLabel != "" && host != n.Host {
		return fmt.Errorf("node %s has the label %s=%q, want %q", n.Name, c.HostLabel, host, n.Host)
	}
	_, master := seen.Labels["node-role.kubernetes.io/control-plane"]
	if master != (n.Role == ControlPlane) {
		return fmt.Errorf("node %s is a control-plane node: %t, want role %s", n.Name, master, n.Role)
	}
	for _, a := range seen.Status.Addresses {
		if a.Type == corev1.NodeInternalIP && !strings.Contains(a.Address, ":") && a.Address != n.Address {
			return fmt.Errorf("node %s says its address is %s, its container has %s", n.Name, a.Address, n.Address)
		}
	}
	for _, taint := range seen.Spec.Taints {
		if strings.HasPrefix(taint.Key, "node.kubernetes.io/") {
			return fmt.Errorf("node %s carries the taint %s:%s", n.Name, taint.Key, taint.Effect)
		}
	}
	for _, condition := range seen.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return fmt.Errorf("node %s is not ready", n.Name)
}

// checkProcesses proves on every node a running process, not stopped, of every
// instance that belongs there, with the settings of the profile, and the health of
// those that other checks do not talk to.
func (c *Cluster) checkProcesses(ctx context.Context) error {
	var group errgroup.Group
	for _, n := range c.Nodes {
		if len(n.components()) > 0 {
			group.Go(func() error { return c.checkNodeProcesses(ctx, n) })
		}
	}
	return group.Wait()
}

// healthScript lists processes with their states, and asks schedulers and controller
// managers for their health, on the ports of the node's loopback that it is given.
const healthScript = `ps -eo stat=,args=
for port in "$@"; do
  curl --silent --show-error --insecure --fail --max-time 2 --output /dev/null "https://127.0.0.1:$port/healthz" || exit
done`

// checkNodeProcesses asks once for everything: a command on a node costs more
// than everything else here.
func (c *Cluster) checkNodeProcesses(ctx context.Context, n *Node) error {
	argv := []string{"sh", "-c", healthScript, "sh"}
	for _, component := range []Component{Scheduler, ControllerManager} {
		for _, i := range n.Instances(component) {
			argv = append(argv, strconv.Itoa(i.Port()))
		}
	}
	out, err := n.Exec(ctx, argv...)
	if err != nil {
		return fmt.Errorf("health of the scheduler and the controller manager on %s: %w", n.Name, err)
	}
	for _, component := range slices.Concat(Stack, services) {
		if err := c.checkComponent(n, component, findProcesses(string(out), component)); err != nil {
			return err
		}
	}
	return nil
}

// process is a line of ps.
type process struct {
	state string
	args  []string
}

// checkComponent compares what runs with what belongs on the node.
func (c *Cluster) checkComponent(n *Node, component Component, found []process) error {
	instances := n.Instances(component)
	if len(found) < len(instances) {
		return fmt.Errorf("%s has %d processes of %s, want %d: %w", n.Name, len(found), component, len(instances), ErrNoProcess)
	}
	if len(instances) == 0 && len(found) > 0 && component != Etcd {
		// An etcd may also be somebody's workload.
		return fmt.Errorf("%s runs %s, which belongs elsewhere", n.Name, component)
	}
	if len(instances) == 0 {
		return nil
	}
	for _, p := range found {
		if strings.HasPrefix(p.state, "T") {
			return fmt.Errorf("%s on %s is stopped by a signal", component, n.Name)
		}
		if err := c.checkSettings(instances[0], p.args); err != nil {
			return err
		}
	}
	return nil
}

// findProcesses looks for a component in the output of ps.
func findProcesses(ps string, component Component) []process {
	var found []process
	for line := range strings.Lines(ps) {
		f := strings.Fields(line)
		if len(f) > 1 && path.Base(f[1]) == string(component) && !strings.HasPrefix(f[0], "Z") {
			found = append(found, process{f[0], f[1:]})
		}
	}
	return found
}

// checkSettings compares a running process's arguments with the profile: one
// that is not in force would make every bound wrong.
func (c *Cluster) checkSettings(i Instance, args []string) error {
	profile := c.Timing.Profile
	if i.Component != ControllerManager || profile.NodeMonitorGracePeriod == DocumentedProfile().NodeMonitorGracePeriod {
		return nil // the default need not be said
	}
	want := "--node-monitor-grace-period=" + profile.NodeMonitorGracePeriod.String()
	if !slices.Contains(args, want) {
		return fmt.Errorf("%s runs without %s, which profile %s promises", i, want, profile.Name)
	}
	return nil
}

// checkLeases proves that one instance of this cluster leads each elected
// component and that its lease is fresh.
func (c *Cluster) checkLeases(ctx context.Context) error {
	client, err := c.Client(c.Front())
	if err != nil {
		return err
	}
	for _, component := range []Component{Scheduler, ControllerManager} {
		if _, err := c.Leader(ctx, component); err != nil {
			return err
		}
		lease, err := client.CoordinationV1().Leases("kube-system").Get(ctx, string(component), metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("read the lease of %s: %w", component, err)
		}
		if lease.Spec.RenewTime == nil || time.Since(lease.Spec.RenewTime.Time) > LeaseDuration {
			return fmt.Errorf("the lease of %s has expired", component)
		}
	}
	return nil
}

// checkEndpoints proves that clients in the cluster are sent to exactly the API
// servers that the topology has.
func (c *Cluster) checkEndpoints(ctx context.Context) error {
	client, err := c.Client(c.Front())
	if err != nil {
		return err
	}
	found, err := client.DiscoveryV1().EndpointSlices("default").List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=kubernetes"})
	if err != nil {
		return fmt.Errorf("list the endpoints of the API's service: %w", err)
	}
	var have, want []string
	for _, s := range found.Items {
		for _, e := range s.Endpoints {
			have = append(have, e.Addresses...)
		}
	}
	for _, i := range c.Instances(APIServer) {
		want = append(want, i.Node.Address)
	}
	slices.Sort(have)
	slices.Sort(want)
	// API servers on one node share an address, and overwrite each other's port.
	have, want = slices.Compact(have), slices.Compact(want)
	if !slices.Equal(have, want) {
		return fmt.Errorf("the API's service leads to %v, want %v", have, want)
	}
	return nil
}

// checkSystemPods proves that every pod of kube-system is ready, or has done its work. Of a static pod only
// the mirror has to exist: other checks ask the component itself, and the
// kubelet's opinion is late by its probe's initial delay or period, 10 s.
func (c *Cluster) checkSystemPods(ctx context.Context) error {
	client, err := c.Client(c.Front())
	if err != nil {
		return err
	}
	pods, err := client.CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the pods of kube-system: %w", err)
	}
	for _, p := range pods.Items {
		_, static := p.Annotations[corev1.MirrorPodAnnotationKey]
		if p.Status.Phase == corev1.PodSucceeded {
			continue
		}
		if p.Status.Phase != corev1.PodRunning || !static && !PodReady(&p) {
			return fmt.Errorf("pod kube-system/%s on %s is not ready (%s)", p.Name, p.Spec.NodeName, p.Status.Phase)
		}
	}
	return nil
}

// PodReady tells whether the pod's Ready condition is true.
func PodReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
