package clusters

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AwaitShape waits until the cluster is what its topology promises and healthy:
// nodes with their roles and hosts, ready; instances, etcd members, leases and
// API addresses where they belong; the settings of the timing profile in force.
// It proves a new cluster's shape, and after an experiment that the cluster is
// as good as new.
func (c *Cluster) AwaitShape(ctx context.Context) error {
	return Await(ctx, 250*time.Millisecond, "the shape of "+c.Name, c.CheckShape)
}

// CheckShape compares the cluster with its topology once.
func (c *Cluster) CheckShape(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for _, check := range []func(context.Context) error{
		c.checkAPIServers, c.checkNodes, c.checkInstances, c.checkEtcd, c.checkLeases, c.checkEndpoints, c.checkSystemPods, c.checkProfile,
	} {
		if err := check(ctx); err != nil {
			return err
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
		client, err := c.Client(e)
		if err != nil {
			return err
		}
		body, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		if err != nil {
			return fmt.Errorf("the API through %s (%s) is not ready: %w: %.300s", e.Name, e.Address, err, body)
		}
	}
	return nil
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
	if len(list.Items) != len(c.Topology.Members()) {
		return fmt.Errorf("the API knows %d nodes, topology %s has %d", len(list.Items), c.Topology.Name, len(c.Topology.Members()))
	}
	var errs []error
	for _, seen := range list.Items {
		n, err := c.Node(seen.Name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, checkNode(n, seen))
	}
	return errors.Join(errs...)
}

func checkNode(n *Node, seen corev1.Node) error {
	if host := seen.Labels[HostLabel]; host != n.Host {
		return fmt.Errorf("node %s has the label %s=%q, want %q", n.Name, HostLabel, host, n.Host)
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

// checkInstances proves a running process, not stopped, for every static component.
func (c *Cluster) checkInstances(ctx context.Context) error {
	for _, component := range []Component{Etcd, APIServer, Scheduler, ControllerManager} {
		for _, i := range c.Instances(component) {
			p, err := i.Process(ctx)
			if err != nil {
				return err
			}
			if p.State == "T" {
				return fmt.Errorf("%s (PID %d) is stopped by a signal", i, p.PID)
			}
		}
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
			for _, a := range e.Addresses {
				have = append(have, net.JoinHostPort(a, apiPort))
			}
		}
	}
	for _, e := range c.APIServers() {
		want = append(want, e.Address)
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		return fmt.Errorf("the API's service leads to %v, want %v", have, want)
	}
	return nil
}

// checkSystemPods proves that every pod of kube-system is ready.
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
		if !PodReady(&p) {
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

// checkProfile reads the running processes' arguments: a profile that is not in
// force would make every bound wrong.
func (c *Cluster) checkProfile(ctx context.Context) error {
	for _, i := range c.Instances(ControllerManager) {
		argv, err := i.CommandLine(ctx)
		if err != nil {
			return err
		}
		want := "--node-monitor-grace-period=" + c.Timing.Profile.NodeMonitorGracePeriod.String()
		if c.Timing.Profile.Name != DocumentedProfile().Name && !slices.Contains(argv, want) {
			return fmt.Errorf("%s runs without %s, which profile %s promises", i, want, c.Timing.Profile.Name)
		}
	}
	return nil
}
