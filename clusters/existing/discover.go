package existing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"faultline/clusters"
)

// Found is a cluster as its API describes it.
type Found struct {
	Cluster *clusters.Cluster
	// Unknown says, for people, what the API does not tell and what was assumed instead.
	Unknown []string

	kubelets map[string]kubelet // by node
}

// discovery is one look at a cluster.
type discovery struct {
	target    *Target
	hostLabel string
	nodes     []corev1.Node
	pods      []corev1.Pod // of kube-system
	found     *Found
}

// Discover reads the layout of the cluster through its API and changes nothing. Hosts are
// told apart by the node label hostLabel; without one each node is a host of its own. A control
// plane whose parts are no pods, as managed ones are, is an error: nobody can break it
// from here.
func (t *Target) Discover(ctx context.Context, hostLabel string) (*Found, error) {
	found, err := t.discover(ctx, hostLabel)
	if err != nil {
		return nil, err
	}
	return found, checkReachable(ctx, found.Cluster)
}

func (t *Target) discover(ctx context.Context, hostLabel string) (*Found, error) {
	d := &discovery{target: t, hostLabel: hostLabel, found: &Found{kubelets: map[string]kubelet{}}}
	if err := d.read(ctx); err != nil {
		return nil, err
	}
	c := &clusters.Cluster{Name: t.Name, HostLabel: hostLabel, Kubernetes: d.nodes[0].Status.NodeInfo.KubeletVersion}
	d.found.Cluster = c
	if err := d.addNodes(); err != nil {
		return nil, err
	}
	if err := d.addExternalEtcd(); err != nil {
		return nil, err
	}
	d.shape()
	c.Timing = d.timing()
	if err := d.addFront(ctx); err != nil {
		return nil, err
	}
	c.Authorize(t.config)
	return d.found, nil
}

func (d *discovery) unknown(format string, args ...any) {
	d.found.Unknown = append(d.found.Unknown, fmt.Sprintf(format, args...))
}

func (d *discovery) read(ctx context.Context) error {
	nodes, err := d.target.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the nodes of context %q at %s: %w", d.target.Name, d.target.config.Host, err)
	}
	pods, err := d.target.client.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the pods of kube-system: %w", err)
	}
	d.nodes, d.pods = nodes.Items, pods.Items
	slices.SortFunc(d.nodes, func(a, b corev1.Node) int {
		return cmp.Or(cmp.Compare(masterFirst(a), masterFirst(b)), cmp.Compare(a.Name, b.Name))
	})
	if len(d.staticPods(clusters.APIServer)) == 0 {
		return fmt.Errorf("context %q: no API server runs as a static pod of kube-system, as kubeadm has it: a control plane that others run cannot be broken from here", d.target.Name)
	}
	return nil
}

// masterFirst orders nodes: the first one is asked for what all masters have.
func masterFirst(n corev1.Node) int {
	if isMaster(n) {
		return 0
	}
	return 1
}

func isMaster(n corev1.Node) bool {
	_, master := n.Labels["node-role.kubernetes.io/control-plane"]
	return master
}

// staticPods are the static pods of a component.
func (d *discovery) staticPods(component clusters.Component) []corev1.Pod {
	return slices.DeleteFunc(slices.Clone(d.pods), func(p corev1.Pod) bool {
		_, static := p.Annotations[corev1.MirrorPodAnnotationKey]
		return !static || p.Labels["component"] != string(component)
	})
}

func (d *discovery) addNodes() error {
	for _, seen := range d.nodes {
		address := internalAddress(seen)
		if address == "" {
			return fmt.Errorf("node %s has no IPv4 InternalIP", seen.Name)
		}
		n := &clusters.Node{Name: seen.Name, Role: clusters.Worker, Host: d.hostOf(seen), Address: address}
		if isMaster(seen) {
			n.Role, n.Components = clusters.ControlPlane, d.componentsOn(seen.Name)
		}
		d.found.Cluster.Nodes = append(d.found.Cluster.Nodes, n)
		d.found.kubelets[seen.Name] = kubelet{
			Address: address, Port: int(seen.Status.DaemonEndpoints.KubeletEndpoint.Port), image: presentImage(seen),
		}
	}
	return nil
}

func internalAddress(n corev1.Node) string {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP && !strings.Contains(a.Address, ":") {
			return a.Address
		}
	}
	return ""
}

func (d *discovery) hostOf(n corev1.Node) string {
	if d.hostLabel == "" {
		return n.Name
	}
	if host := n.Labels[d.hostLabel]; host != "" {
		return host
	}
	d.unknown("node %s has no label %s: taken for a host of its own", n.Name, d.hostLabel)
	return n.Name
}

func (d *discovery) componentsOn(node string) []clusters.Component {
	components := []clusters.Component{} // nil would mean kubeadm's stack
	for _, component := range clusters.Stack {
		for _, p := range d.staticPods(component) {
			if p.Spec.NodeName == node {
				components = append(components, component)
			}
		}
	}
	return components
}

// addExternalEtcd adds the machines that the API servers name, where no etcd is a pod.
func (d *discovery) addExternalEtcd() error {
	flags := flagsOf(d.staticPods(clusters.APIServer)[0])
	if overrides := flags["etcd-servers-overrides"]; overrides != "" {
		d.unknown("some objects are stored elsewhere (--etcd-servers-overrides=%s): that etcd is left alone", overrides)
	}
	if len(d.staticPods(clusters.Etcd)) > 0 {
		return nil
	}
	c := d.found.Cluster
	for server := range strings.SplitSeq(flags["etcd-servers"], ",") {
		u, err := url.Parse(server)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" {
			return fmt.Errorf("--etcd-servers of the API servers has %q, which is no https URL", server)
		}
		address := u.Hostname()
		if net.ParseIP(address) == nil || u.Port() != "2379" {
			return fmt.Errorf("--etcd-servers of the API servers has %q: want an IP address and the port 2379", server)
		}
		c.Nodes = append(c.Nodes, &clusters.Node{Name: "etcd-" + address, Role: clusters.EtcdServer, Host: "etcd-" + address, Address: address,
			Components: []clusters.Component{clusters.Etcd}})
	}
	c.EtcdFiles = &clusters.EtcdFiles{
		Node: c.Nodes[0].Name, CA: flags["etcd-cafile"], Certificate: flags["etcd-certfile"], Key: flags["etcd-keyfile"],
	}
	d.unknown("etcd runs beside Kubernetes: each of its machines is taken for a host of its own, and its service for etcd.service")
	return nil
}

// shape describes what was found as a layout: that predicts what a loss costs.
func (d *discovery) shape() {
	c := d.found.Cluster
	t := clusters.Topology{Name: c.Name, Source: "discovered"}
	for _, n := range c.Nodes {
		m := clusters.Member{Role: n.Role, Components: n.Components, Workloads: n.Role == clusters.Worker}
		at := slices.IndexFunc(t.Hosts, func(h clusters.Host) bool { return h.Name == n.Host })
		if at < 0 {
			t.Hosts = append(t.Hosts, clusters.Host{Name: n.Host})
			at = len(t.Hosts) - 1
		}
		t.Hosts[at].Members = append(t.Hosts[at].Members, m)
	}
	t.LoadBalancer = clusters.NoLoadBalancer
	c.Topology = t
}

// addFront finds what stands before the API servers: what the kubeconfig names, unless that
// is an API server itself, and the name by which the cluster's own clients know it.
func (d *discovery) addFront(ctx context.Context) error {
	c := d.found.Cluster
	server, err := d.target.serverAddress()
	if err != nil {
		return err
	}
	own := slices.ContainsFunc(c.APIServers(), func(e clusters.Endpoint) bool { return e.Address == server })
	if len(c.APIServers()) > 1 && own {
		return fmt.Errorf("context %q names %s, one API server of %d: its loss would be ours too; use a kubeconfig that names what stands before them", d.target.Name, server, len(c.APIServers()))
	}
	if len(c.APIServers()) > 1 {
		c.Balancer = &clusters.Endpoint{Name: clusters.LoadBalancerVantage, Address: server}
		c.Topology.LoadBalancer = clusters.OneLoadBalancer
	}
	endpoint, err := d.controlPlaneEndpoint(ctx)
	if err != nil {
		return err
	}
	if endpoint == "" && c.Balancer != nil {
		d.unknown("kubeadm's configuration names no controlPlaneEndpoint: the load balancer is taken to be known to the nodes as %s", server)
	}
	c.Endpoint = endpoint
	return nil
}

// controlPlaneEndpoint is the host:port that kubeadm gave to the cluster's own clients.
func (d *discovery) controlPlaneEndpoint(ctx context.Context) (string, error) {
	stored, err := d.target.ConfigMap(ctx, metav1.NamespaceSystem, "kubeadm-config")
	if apierrors.IsNotFound(err) {
		d.unknown("there is no kubeadm-config: kubeadm's paths and ports are assumed")
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read kubeadm's configuration: %w", err)
	}
	var config struct {
		ControlPlaneEndpoint string `json:"controlPlaneEndpoint"`
	}
	if err := yaml.Unmarshal([]byte(stored.Data["ClusterConfiguration"]), &config); err != nil {
		return "", fmt.Errorf("read kubeadm's configuration: %w", err)
	}
	if config.ControlPlaneEndpoint == "" {
		return "", nil
	}
	if _, _, err := net.SplitHostPort(config.ControlPlaneEndpoint); err != nil {
		return net.JoinHostPort(config.ControlPlaneEndpoint, "6443"), nil
	}
	return config.ControlPlaneEndpoint, nil
}

// dialTime limits the attempt to reach an API server.
const dialTime = 3 * time.Second

// checkReachable fails unless this machine reaches every API server itself: the probes look
// at each, and an undo must not depend on one of them.
func checkReachable(ctx context.Context, c *clusters.Cluster) error {
	var errs []error
	for _, e := range c.APIServers() {
		conn, err := (&net.Dialer{Timeout: dialTime}).DialContext(ctx, "tcp", e.Address)
		if err != nil {
			errs = append(errs, fmt.Errorf("the API server on %s: %w", e.Name, err))
			continue
		}
		_ = conn.Close()
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("each API server has to be reachable from here, not only what stands before them; start from a machine in their network: %w", err)
	}
	return nil
}
