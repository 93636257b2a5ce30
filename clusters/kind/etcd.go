package kind

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"faultline/clusters"
	"faultline/clusters/engine"
)

// Where kubeadm keeps etcd's certificates. Servers use the same paths, so that whoever
// talks to etcd finds them everywhere.
const (
	etcdCA        = "/etc/kubernetes/pki/etcd/ca.crt"
	etcdCAKey     = "/etc/kubernetes/pki/etcd/ca.key"
	etcdClient    = "/etc/kubernetes/pki/apiserver-etcd-client.crt"
	etcdClientKey = "/etc/kubernetes/pki/apiserver-etcd-client.key"
)

// etcdUnit runs etcd as kubeadm's static pod would be run: with its settings, and
// restarted whenever it ends. It is for a name, an address and the initial members.
const etcdUnit = `[Unit]
Description=etcd
StartLimitIntervalSec=0
[Service]
Type=exec
ExecStart=/usr/local/bin/etcd \
  --name=%[1]s \
  --data-dir=` + clusters.EtcdData + ` \
  --listen-client-urls=https://127.0.0.1:2379,https://%[2]s:2379 \
  --advertise-client-urls=https://%[2]s:2379 \
  --listen-peer-urls=https://%[2]s:2380 \
  --initial-advertise-peer-urls=https://%[2]s:2380 \
  --listen-metrics-urls=http://127.0.0.1:2381 \
  --initial-cluster=%[3]s \
  --feature-gates=InitialCorruptCheck=true \
  --watch-progress-notify-interval=5s \
  --client-cert-auth --peer-client-cert-auth \
  --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt --peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt \
  --cert-file=/etc/kubernetes/pki/etcd/server.crt --peer-cert-file=/etc/kubernetes/pki/etcd/server.crt \
  --key-file=/etc/kubernetes/pki/etcd/server.key --peer-key-file=/etc/kubernetes/pki/etcd/server.key
Restart=always
RestartSec=1s
LimitNOFILE=16384
[Install]
WantedBy=multi-user.target
`

// configureEtcd makes the servers one etcd cluster.
func (b *boot) configureEtcd(ctx context.Context, members []*clusters.Node) error {
	if len(members) == 0 {
		return nil
	}
	var initial []string
	for _, n := range members {
		initial = append(initial, fmt.Sprintf("%s=https://%s:2380", n.Name, n.Address))
	}
	var group errgroup.Group
	for _, n := range members {
		group.Go(func() error { return b.configureMember(ctx, n, strings.Join(initial, ",")) })
	}
	return group.Wait()
}

func (b *boot) configureMember(ctx context.Context, n *clusters.Node, initial string) error {
	ca, err := b.authorityOf(n.Role)
	if err != nil {
		return err
	}
	files, err := clientFiles(ca)
	if err != nil {
		return err
	}
	server, err := ca.issue(n.Name, n.Name, n.Address, "localhost", "127.0.0.1")
	if err != nil {
		return err
	}
	files = append(files,
		file{path: "/etc/kubernetes/pki/etcd/server.crt", content: server.certificate, public: true},
		file{path: "/etc/kubernetes/pki/etcd/server.key", content: server.key},
		file{path: "/etc/systemd/system/etcd.service", content: fmt.Appendf(nil, etcdUnit, n.Name, n.Address, initial), public: true},
	)
	if err := writeFiles(ctx, n, files...); err != nil {
		return err
	}
	return startServices(ctx, n, "etcd.service")
}

// clientFiles are what a client of etcd has.
func clientFiles(ca *authority) ([]file, error) {
	client, err := ca.issue("faultline-etcd-client")
	if err != nil {
		return nil, err
	}
	own, err := ca.own()
	return []file{
		{path: etcdCA, content: own.certificate, public: true},
		{path: etcdClient, content: client.certificate, public: true},
		{path: etcdClientKey, content: client.key},
	}, err
}

// authorityOf is who signs for the servers of a role: a database beside the cluster has
// nothing to do with the cluster's own stores.
func (b *boot) authorityOf(role clusters.Role) (*authority, error) {
	name := "etcd-ca"
	if role == clusters.Database {
		name = "database-ca"
	}
	b.signing.Lock()
	defer b.signing.Unlock()
	if b.authorities[name] == nil {
		made, err := newAuthority(name)
		if err != nil {
			return nil, err
		}
		b.authorities[name] = made
	}
	return b.authorities[name], nil
}

// trustStores gives the control-plane nodes what they need to talk to etcd servers: the
// authority and, where they have no etcd of their own, a client's certificate.
func (b *boot) trustStores(ctx context.Context) error {
	t := b.Topology
	if t.Count(clusters.EtcdServer)+t.Count(clusters.EventsServer) == 0 {
		return nil
	}
	ca, err := b.authorityOf(clusters.EtcdServer)
	if err != nil {
		return err
	}
	files, err := clientFiles(ca)
	if err != nil {
		return err
	}
	if t.EtcdRole() == clusters.ControlPlane {
		// kubeadm signs with an authority that it finds.
		own, err := ca.own()
		if err != nil {
			return err
		}
		files = []file{files[0], {path: etcdCAKey, content: own.key}}
	}
	var group errgroup.Group
	for _, n := range b.cluster.With(clusters.ControlPlane) {
		group.Go(func() error { return writeFiles(ctx, n, files...) })
	}
	return group.Wait()
}

// clientURLs are where the members listen for clients.
func clientURLs(members []*clusters.Node) []string {
	var urls []string
	for _, n := range members {
		urls = append(urls, "https://"+n.Address+":2379")
	}
	return urls
}

// EtcdctlCommand is what a person runs to ask a node's etcd something.
func EtcdctlCommand(e *engine.Engine, n *clusters.Node, args ...string) []string {
	return append([]string{
		e.Name(), "exec", n.Name, "etcdctl", "--cacert=" + etcdCA, "--cert=" + etcdClient, "--key=" + etcdClientKey,
	}, args...)
}
