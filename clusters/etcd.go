package clusters

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// reconnect keeps a client from waiting long before it notices that a member is
// back: gRPC's own back-off grows to two minutes.
var reconnect = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
	MinConnectTimeout: 2 * time.Second,
}

// etcdAccess holds one client a member, made on first use.
type etcdAccess struct {
	mu      sync.Mutex
	tls     map[Role]*tls.Config // a database beside the cluster has an authority of its own
	clients map[string]*clientv3.Client
}

// EtcdMember is what one etcd member says of itself and its cluster.
type EtcdMember struct {
	Instance Instance
	ID       uint64
	Leader   uint64 // zero when it knows none
	Term     uint64
	Revision int64
	DBBytes  int64
	Learner  bool
	Errors   []string
}

// EtcdFiles are paths of PEM files on a node.
type EtcdFiles struct {
	Node                 string
	CA, Certificate, Key string
}

// EtcdClient returns a client that talks to this member only. The cluster closes it.
func (c *Cluster) EtcdClient(ctx context.Context, member Instance) (*clientv3.Client, error) {
	c.etcd.mu.Lock()
	defer c.etcd.mu.Unlock()
	if client, ok := c.etcd.clients[member.Unique()]; ok {
		return client, nil
	}
	config, err := c.etcdTLS(ctx, member.Node)
	if err != nil {
		return nil, err
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   []string{member.clientURL()},
		DialTimeout: 2 * time.Second,
		TLS:         config,
		Logger:      zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(reconnect)},
	})
	if err != nil {
		return nil, fmt.Errorf("client for %s: %w", member, err)
	}
	if c.etcd.clients == nil {
		c.etcd.clients = map[string]*clientv3.Client{}
	}
	c.etcd.clients[member.Unique()] = client
	return client, nil
}

// clientURL is where clients of a member of etcd reach it.
func (i Instance) clientURL() string { return "https://" + i.endpoint().Address }

// etcdTLS is what clients of a node's etcd show and trust, read from the node on first use.
func (c *Cluster) etcdTLS(ctx context.Context, n *Node) (*tls.Config, error) {
	role := n.Role
	if config, ok := c.etcd.tls[role]; ok {
		return config, nil
	}
	files := &EtcdFiles{n.Name, "/etc/kubernetes/pki/etcd/ca.crt", "/etc/kubernetes/pki/apiserver-etcd-client.crt", "/etc/kubernetes/pki/apiserver-etcd-client.key"}
	if c.EtcdFiles != nil {
		files = c.EtcdFiles
		var err error
		if n, err = c.Node(files.Node); err != nil {
			return nil, err
		}
	}
	config, err := files.read(ctx, n)
	if err != nil {
		return nil, err
	}
	if c.etcd.tls == nil {
		c.etcd.tls = map[Role]*tls.Config{}
	}
	c.etcd.tls[role] = config
	return config, nil
}

// read borrows the API server's client certificate from a node, where a control plane or an
// etcd of its own has it. It stays in memory.
func (f *EtcdFiles) read(ctx context.Context, n *Node) (*tls.Config, error) {
	ca, errCA := n.Exec(ctx, "cat", f.CA)
	cert, errCert := n.Exec(ctx, "cat", f.Certificate)
	key, errKey := n.Exec(ctx, "cat", f.Key)
	if err := errors.Join(errCA, errCert, errKey); err != nil {
		return nil, fmt.Errorf("read etcd's client certificate on %s: %w", n.Name, err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("etcd's client certificate on %s: %w", n.Name, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("etcd's CA on %s holds no certificate", n.Name)
	}
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// EtcdStatus asks one member for its view.
func (c *Cluster) EtcdStatus(ctx context.Context, member Instance) (EtcdMember, error) {
	client, err := c.EtcdClient(ctx, member)
	if err != nil {
		return EtcdMember{}, err
	}
	// The client's own Status dials, with a TLS handshake, for every call.
	status, err := etcdserverpb.NewMaintenanceClient(client.ActiveConnection()).Status(ctx, &etcdserverpb.StatusRequest{})
	if err != nil {
		return EtcdMember{}, fmt.Errorf("status of %s: %w", member, err)
	}
	return EtcdMember{
		Instance: member,
		ID:       status.Header.MemberId,
		Leader:   status.Leader,
		Term:     status.RaftTerm,
		Revision: status.Header.Revision,
		DBBytes:  status.DbSize,
		Learner:  status.IsLearner,
		Errors:   status.Errors,
	}, nil
}

// EtcdHash asks one member for the hash of everything that it has up to a revision: members
// that agree on it have the same data.
func (c *Cluster) EtcdHash(ctx context.Context, member Instance, revision int64) (uint32, error) {
	client, err := c.EtcdClient(ctx, member)
	if err != nil {
		return 0, err
	}
	answer, err := etcdserverpb.NewMaintenanceClient(client.ActiveConnection()).HashKV(ctx, &etcdserverpb.HashKVRequest{Revision: revision})
	if err != nil {
		return 0, fmt.Errorf("hash of %s: %w", member, err)
	}
	return answer.Hash, nil
}

// etcdLeader finds the member that a reachable member calls its leader.
func (c *Cluster) etcdLeader(ctx context.Context) (Instance, error) {
	var errs []error
	for _, member := range c.EtcdMembers() {
		status, err := c.EtcdStatus(ctx, member)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if status.ID == status.Leader {
			return member, nil
		}
	}
	return Instance{}, fmt.Errorf("no etcd member says that it leads: %w", errors.Join(errs...))
}

// checkEtcd proves that the members of each etcd are exactly those promised,
// started, voting, on the promised nodes, and agree on a leader.
func (c *Cluster) checkEtcd(ctx context.Context) error {
	for _, members := range []Instances{c.EtcdMembers(), c.EventsMembers(), c.databases()} {
		if len(members) == 0 {
			continue
		}
		if err := c.checkMembers(ctx, members); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) databases() Instances {
	var all Instances
	for _, n := range c.With(Database) {
		all = append(all, n.Instances(Etcd)...)
	}
	return all
}

// listMembers are the members of an etcd, as one of them tells.
func (c *Cluster) listMembers(ctx context.Context, through Instance) ([]*etcdserverpb.Member, error) {
	client, err := c.EtcdClient(ctx, through)
	if err != nil {
		return nil, err
	}
	list, err := client.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("list etcd's members: %w", err)
	}
	return list.Members, nil
}

func (c *Cluster) checkMembers(ctx context.Context, members Instances) error {
	list, err := c.listMembers(ctx, members[0])
	if err != nil {
		return err
	}
	var have, want []string
	for _, m := range list {
		if m.IsLearner || len(m.ClientURLs) == 0 {
			return fmt.Errorf("etcd member %q is not a started voter", m.Name)
		}
		have = append(have, m.ClientURLs[0])
	}
	for _, m := range members {
		want = append(want, m.clientURL())
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		return fmt.Errorf("etcd's members answer at %v, want %v", have, want)
	}
	return c.checkAgreement(ctx, members)
}

// checkAgreement asks every member and compares leaders and terms.
func (c *Cluster) checkAgreement(ctx context.Context, members Instances) error {
	var first EtcdMember
	for i, m := range members {
		status, err := c.EtcdStatus(ctx, m)
		if err != nil {
			return err
		}
		if len(status.Errors) > 0 {
			return fmt.Errorf("%s reports %v", m, status.Errors)
		}
		if i == 0 {
			first = status
		}
		if status.Leader == 0 || status.Leader != first.Leader || status.Term != first.Term {
			return fmt.Errorf("%s sees leader %x in term %d, %s sees %x in term %d",
				m, status.Leader, status.Term, first.Instance, first.Leader, first.Term)
		}
	}
	return nil
}

func (a *etcdAccess) close() []error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	for _, client := range a.clients {
		errs = append(errs, client.Close())
	}
	a.clients = nil
	return errs
}
