package clusters

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Shell runs a command on a node and returns its standard output. It does not
// depend on the Kubernetes API of that node's cluster.
type Shell func(ctx context.Context, node string, stdin io.Reader, argv ...string) ([]byte, error)

// KubeadmConfig is where kind leaves kubeadm's configuration on every node.
const KubeadmConfig = "/kind/kubeadm.conf"

// Cluster is a running cluster, whoever made it.
type Cluster struct {
	Name string
	// Run is the run that the cluster belongs to.
	Run      string
	Topology Topology
	Timing   Timing
	Nodes    []*Node
	// Balancer is what stands before the API servers, nil where nothing does.
	Balancer *Endpoint
	// Forwarder is the machine of a balancer that stands outside every host, as kind's
	// does. It is none of the Nodes.
	Forwarder *Node
	// Endpoint is the host:port by which the cluster's own clients know the balancer;
	// empty: its address.
	Endpoint string
	// Kubeconfig is the path of the cluster's own kubeconfig; none without Kubernetes.
	Kubeconfig string
	// HostLabel is the node label that names a node's host; empty where nodes bear none.
	HostLabel string
	// EtcdFiles is what clients of etcd show and trust; nil: what kubeadm leaves on the
	// nodes that have etcd.
	EtcdFiles *EtcdFiles
	// Versions of what runs, for the report.
	Kubernetes, Etcd string

	config     *rest.Config
	etcd       etcdAccess
	remembered *traces
	ignored    []string
}

// Node is one operating system of a cluster: a node of Kubernetes, or a machine beside
// it that the topology names.
type Node struct {
	Name    string
	Host    string
	Role    Role
	Address string
	// Components is what the topology places here; nil on a control-plane node means
	// what kubeadm runs there.
	Components []Component
	// Reserved keeps ordinary pods away from a control-plane node, by kubeadm's taint.
	Reserved bool
	// Disk holds the data of the node's etcd; nil: a volume of the node's own. It stays
	// with DiskHost when the node migrates, as storage on a network does.
	Disk     *Disk
	DiskHost string
	// Power switches the node from this machine; empty where we cannot.
	Power Power
	// Enter is a command of this machine that runs what follows on the node, and does
	// nothing when the node exists no more. It is there for a node without systemd, which
	// has no timers of its own.
	Enter []string
	shell Shell
	// cluster is the one that the node is reached by.
	cluster *Cluster
}

// Power is how to switch a node: commands of this machine.
type Power struct {
	// Off ends everything on the node at once. On is idempotent and keeps the
	// node's address.
	Off, On []string
	// Freeze stops everything on the node, Thaw, which is idempotent, lets it go on.
	Freeze, Thaw []string
	// Status prints the engine's word: running, paused, exited ...
	Status []string
	// Ask tells the same word without a process of its own, which takes as long to start as
	// many a fault to land; nil where there is only Status.
	Ask func(context.Context) (string, error) `json:"-"`
	// Cores, with a CPU set as last argument, moves a node that runs to those cores.
	Cores []string
	// Destroy ends the node for good, with everything that only it has stored.
	Destroy []string
	// Limits prints the node's limits as the engine has them, see clusters.Limits. Limit,
	// with those values as last arguments, sets them; it is idempotent.
	Limits, Limit []string
}

// Limits are what a node may use of its machine, as the engine has it: CPU time in
// microseconds of every 100 ms, memory, and memory with swap, in bytes. No limit is 0, or
// -1 after there was one.
type Limits struct {
	CPUQuota, Memory, MemorySwap int64
}

// EtcdData is where etcd keeps its data, on every node that has one.
const EtcdData = "/var/lib/etcd"

// ServerName is in every kubeadm API server certificate, whatever its address.
const ServerName = "kubernetes"

// Reach gives the cluster's nodes their way to run commands.
func (c *Cluster) Reach(shell Shell) {
	for _, n := range c.machines() {
		n.shell, n.cluster = shell, c
	}
}

// machines are the nodes with what belongs to no host.
func (c *Cluster) machines() []*Node {
	if c.Forwarder == nil {
		return c.Nodes
	}
	return append(slices.Clone(c.Nodes), c.Forwarder)
}

// Connect gives the nodes their way to run commands and reads the cluster's kubeconfig,
// where it has one. A cluster is used only after it.
func (c *Cluster) Connect(shell Shell) error {
	c.Reach(shell)
	if !c.Topology.Kubernetes() {
		return nil
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return fmt.Errorf("read the cluster's kubeconfig: %w", err)
	}
	c.Authorize(config)
	return nil
}

// Authorize gives the cluster's clients an administrator's credentials.
func (c *Cluster) Authorize(config *rest.Config) { c.config = config }

// Exec runs a command on the node and returns its standard output; the error
// carries the command and its standard error.
func (n *Node) Exec(ctx context.Context, argv ...string) ([]byte, error) {
	return n.shell(ctx, n.Name, nil, argv...)
}

// ExecInput is Exec with standard input.
func (n *Node) ExecInput(ctx context.Context, stdin io.Reader, argv ...string) ([]byte, error) {
	return n.shell(ctx, n.Name, stdin, argv...)
}

// writeScript writes its input to $1. The file appears at once and whole: whoever watches the
// folder, as the kubelet does, leaves hidden files alone.
const writeScript = `umask 077
part=$(dirname "$1")/.$(basename "$1").part
cat > "$part" && sync "$part" && mv "$part" "$1"`

// WriteFile writes a file on the node that only root may read.
func (n *Node) WriteFile(ctx context.Context, path string, content []byte) error {
	if _, err := n.ExecInput(ctx, bytes.NewReader(content), "sh", "-c", writeScript, "sh", path); err != nil {
		return fmt.Errorf("write %s on %s: %w", path, n.Name, err)
	}
	return nil
}

// Node finds a node, or the forwarder, by name.
func (c *Cluster) Node(name string) (*Node, error) {
	for _, n := range c.machines() {
		if n.Name == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("cluster %s has no node %q", c.Name, name)
}

// Neighbours lists the other nodes of the node's cluster; none before that is reached.
func (n *Node) Neighbours() []*Node {
	if n.cluster == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(n.cluster.Nodes), func(other *Node) bool { return other == n })
}

// With lists the nodes of a role.
func (c *Cluster) With(role Role) []*Node {
	return slices.DeleteFunc(slices.Clone(c.Nodes), func(n *Node) bool { return n.Role != role })
}

// WorkloadNodes lists the nodes that run ordinary pods: the workers, or masters where there are none.
func (c *Cluster) WorkloadNodes() []*Node {
	if workers := c.With(Worker); len(workers) > 0 {
		return workers
	}
	return slices.DeleteFunc(c.With(ControlPlane), func(n *Node) bool { return n.Reserved })
}

// RESTConfig is the administrator's client configuration for one endpoint. Clients of the same
// endpoint share client-go's connections, but not where it has several addresses: client-go
// tells its pools by the Dial, anew for each client. So each tries the addresses for itself, and
// none waits for an answer on another's connection to a server that is silent; such
// connections end when they have been idle for 90 s.
func (c *Cluster) RESTConfig(e Endpoint) *rest.Config {
	config := rest.CopyConfig(c.config)
	config.Host = "https://" + e.Address
	config.ServerName = ServerName
	config.QPS = -1
	config.UserAgent = "faultline"
	if len(e.Others) > 0 {
		config.Dial = e.Dial(&net.Dialer{})
	}
	return config
}

// Client is a typed client that talks to one endpoint only.
func (c *Cluster) Client(e Endpoint) (kubernetes.Interface, error) {
	client, err := kubernetes.NewForConfig(c.RESTConfig(e))
	if err != nil {
		return nil, fmt.Errorf("client for %s: %w", e.Name, err)
	}
	return client, nil
}

// Transport is a new connection pool to an endpoint with the administrator's
// credentials, shared with nobody: a hanging connection of one user must not
// delay another.
func (c *Cluster) Transport(e Endpoint) (*http.Transport, error) {
	tlsConfig, err := rest.TLSConfigFor(c.RESTConfig(e))
	if err != nil {
		return nil, fmt.Errorf("TLS configuration for %s: %w", e.Name, err)
	}
	return &http.Transport{TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true, DialContext: e.Dial(&net.Dialer{})}, nil
}

// Close releases the connections that the cluster holds; it does not stop the cluster.
func (c *Cluster) Close() error {
	return errors.Join(c.etcd.close()...)
}
