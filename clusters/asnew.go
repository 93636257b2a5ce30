package clusters

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/sync/errgroup"
)

// asNewTime limits one look at whether a cluster is as good as new.
const asNewTime = 30 * time.Second

// traces are what experiments could leave on a node or in the API.
type traces struct {
	nodes   map[string][]string
	objects []string
}

// Remember records how the cluster is now, with everything that belongs to it, as what
// CheckAsNew compares with. Objects in the namespaces ignored come and go.
func (c *Cluster) Remember(ctx context.Context, ignored ...string) error {
	c.ignored = ignored
	now, err := c.look(ctx)
	if err != nil {
		return fmt.Errorf("remember how cluster %s is: %w", c.Name, err)
	}
	c.remembered = now
	return nil
}

// CheckAsNew proves that the cluster is verifiably as good as when it was remembered: its
// shape, the members of its etcd in step with equal contents, leases fresh, and no
// object, packet rule, queue, mount or armed fault that was not there.
func (c *Cluster) CheckAsNew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, asNewTime)
	defer cancel()
	if c.remembered == nil {
		return fmt.Errorf("nobody has recorded how cluster %s was when it was new", c.Name)
	}
	now, err := c.sound(ctx)
	if err != nil {
		return err
	}
	return now.compare(c.remembered)
}

// sound looks at a cluster whose shape is whole and whose members of etcd have equal contents.
func (c *Cluster) sound(ctx context.Context) (*traces, error) {
	if err := c.CheckShape(ctx); err != nil {
		return nil, err
	}
	if err := c.AwaitEqualHashes(ctx); err != nil {
		return nil, err
	}
	return c.look(ctx)
}

// AwaitNodesAsNew waits until the cluster's shape, the contents of its etcd's members and
// every node are as they were when it was remembered. It leaves out the objects of the API,
// which others change in a cluster that they use.
func (c *Cluster) AwaitNodesAsNew(ctx context.Context) error {
	return Await(ctx, time.Second, "a cluster as before", func(ctx context.Context) error {
		now, err := c.sound(ctx)
		if err != nil {
			return err
		}
		return now.compareNodes(c.remembered)
	})
}

// ChangedObjects lists the lasting objects of the API that came (+) or went (-) since the
// cluster was remembered, by whomever.
func (c *Cluster) ChangedObjects(ctx context.Context) ([]string, error) {
	now, err := c.objects(ctx)
	if err != nil {
		return nil, err
	}
	return Changes(c.remembered.objects, now), nil
}

func (c *Cluster) look(ctx context.Context) (*traces, error) {
	t := &traces{nodes: map[string][]string{}}
	machines := c.machines()
	found := make([][]string, len(machines))
	var group errgroup.Group
	for i, n := range machines {
		group.Go(func() (err error) {
			found[i], err = n.traces(ctx)
			return err
		})
	}
	if c.Topology.Kubernetes() {
		group.Go(func() (err error) {
			t.objects, err = c.objects(ctx)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, n := range machines {
		t.nodes[n.Name] = found[i]
	}
	return t, nil
}

// compare names the first thing that differs.
func (t *traces) compare(before *traces) error {
	if err := t.compareNodes(before); err != nil {
		return err
	}
	return differ("the API", before.objects, t.objects)
}

func (t *traces) compareNodes(before *traces) error {
	for node, now := range t.nodes {
		if err := differ("node "+node, before.nodes[node], now); err != nil {
			return err
		}
	}
	return nil
}

// differ compares two sorted lists.
func differ(where string, before, now []string) error {
	for _, line := range now {
		if _, found := slices.BinarySearch(before, line); !found {
			return fmt.Errorf("%s has %s, which was not there when the cluster was new", where, line)
		}
	}
	for _, line := range before {
		if _, found := slices.BinarySearch(now, line); !found {
			return fmt.Errorf("%s lacks %s, which was there when the cluster was new", where, line)
		}
	}
	return nil
}

// tracesScript prints what faults work with: packet rules other than those that
// kube-proxy, the kubelet, pod networks and the engine keep changing; queues of the device
// that has the node's address $1; mounts other than those of pods; stopped or added units
// of ours; armed faults; manifests and settings of services.
const tracesScript = `for table in filter mangle raw; do
  iptables -t "$table" -S 2>/dev/null | grep -v 'KUBE-\|CNI-\|DOCKER\|PODNET\|cali[-:]\|CILIUM\|FLANNEL' | sed "s/^/rule in $table: /"
done
device=$(ip -oneline address show to "$1" 2>/dev/null | head -n 1 | cut -d' ' -f2)
tc qdisc show dev "$device" 2>/dev/null | sed 's/^/queue: /; s/ refcnt [0-9]*//'
findmnt -rno TARGET,FSTYPE | grep -v '^/var/lib/kubelet/\|^/run/containerd/\|^/var/lib/containerd/\|^/run/netns\|^/run/user\|^/run/credentials\|^/proc/\|^/var/lib/docker' | sed 's/^/mount: /'
systemctl list-units --all --plain --no-legend 'faultline-undo-*' 'faultline-hold-*' | cut -d' ' -f1 | sed 's/^/unit: /'
find /var/lib/faultline -mindepth 1 2>/dev/null | sed 's/^/armed fault: /'
find /etc/kubernetes/manifests -type f 2>/dev/null | sed 's/^/manifest: /'
find /etc/systemd/system -name '*faultline*.conf' 2>/dev/null | sed 's/^/setting: /'
true`

// traces lists what is on the node now, sorted.
func (n *Node) traces(ctx context.Context) ([]string, error) {
	out, err := n.Exec(ctx, "sh", "-c", tracesScript, "sh", n.Address)
	if err != nil {
		return nil, fmt.Errorf("look for traces of faults on %s: %w", n.Name, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	return slices.Compact(lines), nil
}

// AwaitEqualHashes waits until all members of each etcd have the same contents.
func (c *Cluster) AwaitEqualHashes(ctx context.Context) error {
	return Await(ctx, 200*time.Millisecond, "equal contents of etcd's members", func(ctx context.Context) error {
		for _, members := range []Instances{c.EtcdMembers(), c.EventsMembers()} {
			if err := c.SameData(ctx, members); err != nil {
				return err
			}
		}
		return nil
	})
}

// SameData fails unless members of etcd have the same contents, up to the revision of the one
// that is furthest behind. It fails also while one has compacted its history and another has not.
func (c *Cluster) SameData(ctx context.Context, members Instances) error {
	revision := int64(0)
	for i, m := range members {
		status, err := c.EtcdStatus(ctx, m)
		if err != nil {
			return err
		}
		if i == 0 || status.Revision < revision {
			revision = status.Revision
		}
	}
	var first *etcdserverpb.HashKVResponse
	for _, m := range members {
		client, err := c.EtcdClient(ctx, m)
		if err != nil {
			return err
		}
		hash, err := etcdserverpb.NewMaintenanceClient(client.ActiveConnection()).HashKV(ctx, &etcdserverpb.HashKVRequest{Revision: revision})
		if err != nil {
			return fmt.Errorf("hash of %s at revision %d: %w", m, revision, err)
		}
		if first == nil {
			first = hash
		}
		// Between two members' compactions hashes cannot be compared.
		if hash.CompactRevision != first.CompactRevision {
			return fmt.Errorf("%s has compacted to revision %d, %s to %d", m, hash.CompactRevision, members[0], first.CompactRevision)
		}
		if hash.Hash != first.Hash {
			return fmt.Errorf("%s has other contents than %s at revision %d: hash %x and %x", m, members[0], revision, hash.Hash, first.Hash)
		}
	}
	return nil
}
