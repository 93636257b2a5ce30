package clusters

import (
	"context"
	"net"
	"strconv"
	"time"
)

// Endpoint is one way to the API: a single API server, or what stands before all.
type Endpoint struct {
	// Name is the vantage point's name: an API server's, or one of the constants below.
	Name string
	// Address is host:port, reachable from this machine.
	Address string
	// Others are further addresses of the same name, tried in turn.
	Others []string
}

// Names of what stands before several API servers.
const (
	LoadBalancerVantage = "load-balancer"
	DNSVantage          = "dns-name"
)

// APIServers lists the endpoint of every API server, each addressed directly.
func (c *Cluster) APIServers() []Endpoint {
	var all []Endpoint
	for _, i := range c.Instances(APIServer) {
		all = append(all, i.endpoint())
	}
	return all
}

// APIServer is the endpoint of the first API server on this node.
func (n *Node) APIServer() Endpoint {
	return Instance{Component: APIServer, Node: n}.endpoint()
}

func (i Instance) endpoint() Endpoint {
	return Endpoint{Name: i.Unique(), Address: net.JoinHostPort(i.Node.Address, strconv.Itoa(i.Port()))}
}

// Front is the endpoint that a client of the cluster uses: what stands before the
// API servers, else the only one.
func (c *Cluster) Front() Endpoint {
	if c.Balancer != nil {
		return *c.Balancer
	}
	return c.APIServers()[0]
}

// ports are where kubeadm's components listen on every node, and how far apart the ports
// of copies on one node are.
var ports = map[Component]struct{ first, step int }{
	APIServer:         {6443, 1},
	Etcd:              {2379, 100},
	Scheduler:         {10259, 10},
	ControllerManager: {10257, 10},
}

// Port is the port on which clients, or who asks for its health, reach the instance.
func (i Instance) Port() int {
	p := ports[i.Component]
	return p.first + max(0, i.Copy-1)*p.step
}

// Dial connects to the endpoint's addresses in turn, as Go does with a name that has
// several: each gets an equal share of the time that is left, at least 2 s.
func (e Endpoint) Dial(d *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	if len(e.Others) == 0 {
		return d.DialContext
	}
	addresses := append([]string{e.Address}, e.Others...)
	return func(ctx context.Context, network, _ string) (conn net.Conn, err error) {
		deadline := earliest(ctx, d)
		for n, address := range addresses {
			if conn, err = dialShare(ctx, d, network, address, deadline, len(addresses)-n); err == nil {
				return conn, nil
			}
		}
		return nil, err
	}
}

// defaultDial limits a connection that has no limit.
const defaultDial = 30 * time.Second

func earliest(ctx context.Context, d *net.Dialer) time.Time {
	limit := d.Timeout
	if limit == 0 {
		limit = defaultDial
	}
	end := time.Now().Add(limit)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(end) {
		end = deadline
	}
	return end
}

// leastShare is Go's: a shorter share than this helps no address.
const leastShare = 2 * time.Second

func dialShare(ctx context.Context, d *net.Dialer, network, address string, deadline time.Time, left int) (net.Conn, error) {
	share := time.Until(deadline) / time.Duration(left)
	ctx, cancel := context.WithTimeout(ctx, max(share, min(leastShare, time.Until(deadline))))
	defer cancel()
	return d.DialContext(ctx, network, address)
}
