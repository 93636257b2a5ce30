package fault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"faultline/clusters"
	"faultline/clusters/clustertest"
)

// The contract of faults on what etcd stores, judged by clients on this machine.

// put writes through one member, with little patience.
func put(ctx context.Context, c *clusters.Cluster, member clusters.Instance, key, value string) error {
	client, err := c.EtcdClient(ctx, member)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	_, err = client.Put(ctx, key, value)
	return err
}

// get reads what one member has, whatever the others say.
func get(ctx context.Context, c *clusters.Cluster, member clusters.Instance, key string) (string, error) {
	client, err := c.EtcdClient(ctx, member)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	response, err := client.Get(ctx, key, clientv3.WithSerializable())
	if err != nil || len(response.Kvs) == 0 {
		return "", err
	}
	return string(response.Kvs[0].Value), nil
}

// fillStore writes keys with values of a kind.
func fillStore(t *testing.T, c *clusters.Cluster, keys int) {
	t.Helper()
	for n := range keys {
		if err := put(t.Context(), c, c.EtcdMembers()[0], fmt.Sprintf("key-%d", n), "value"); err != nil {
			t.Fatal(err)
		}
	}
}

// says waits until the member's log has a text.
func says(t *testing.T, member clusters.Instance, text string) {
	t.Helper()
	eventually(t, "the log to say "+text, 30*time.Second, member, func(ctx context.Context, i clusters.Instance) error {
		log, err := i.Log(ctx, 60)
		if err == nil && !strings.Contains(string(log), text) {
			err = fmt.Errorf("it says %.300s", log[max(0, len(log)-300):])
		}
		return err
	})
}

// healStore undoes a fault twice and looks for leftovers, also among etcd's files.
func healStore(t *testing.T, i *Injection) {
	t.Helper()
	undoTwice(t, i, 2*time.Minute)
	mustBeClean(t, i.Fault)
}

func mustBeClean(t *testing.T, f Fault) {
	t.Helper()
	for _, p := range f.parts {
		eventually(t, "a clean node", 5*time.Second, clusters.Instance{Component: clusters.Etcd, Node: p.node}, cleanStore)
	}
}

// cleanStore says that nothing of a fault is on the node, beside etcd's data included.
func cleanStore(ctx context.Context, i clusters.Instance) error {
	if err := clean(ctx, i); err != nil {
		return err
	}
	out, err := i.Node.Exec(ctx, "sh", "-c", "ls -d /var/lib/etcd*/faultline-* 2>/dev/null || true")
	if left := strings.TrimSpace(string(out)); err == nil && left != "" {
		err = fmt.Errorf("left on %s: %s", i.Node.Name, left)
	}
	return err
}

// agree waits until all members have the same data.
func agree(t *testing.T, c *clusters.Cluster) {
	t.Helper()
	eventually(t, "members with the same data", 30*time.Second, c.EtcdMembers()[0], func(ctx context.Context, _ clusters.Instance) error {
		var first *clientv3.HashKVResponse
		for _, m := range c.EtcdMembers() {
			client, err := c.EtcdClient(ctx, m)
			if err != nil {
				return err
			}
			hash, err := client.HashKV(ctx, client.Endpoints()[0], 0)
			if err != nil {
				return err
			}
			if first == nil {
				first = hash
			}
			if hash.Hash != first.Hash {
				return fmt.Errorf("%s has the hash %d at revision %d, another %d at %d", m, hash.Hash, hash.Header.Revision, first.Hash, first.Header.Revision)
			}
		}
		return nil
	})
}

// TestStoreContract breaks what the members of an etcd store.
func TestStoreContract(t *testing.T) {
	clustertest.NeedFull(t)
	if os.Getenv("FAULTLINE_LIVE_TESTS") == "" {
		t.Skip("set FAULTLINE_LIVE_TESTS=1 to break a real etcd")
	}
	c := clustertest.New(t, clusters.BareEtcd(3))
	fillStore(t, c, 50)
	t.Run("the alarm", func(t *testing.T) { contractNoSpace(t, c) })
	t.Run("a wiped member", func(t *testing.T) { contractWipe(t, c) })
	t.Run("a corrupted member", func(t *testing.T) { contractCorrupt(t, c) })
	t.Run("the node undoes it itself", func(t *testing.T) { contractStoresUndoThemselves(t, c) })
	t.Run("recover from another process", func(t *testing.T) { contractStoresRecover(t, c) })
	t.Run("sabotage", func(t *testing.T) { contractStoresSabotage(t, c) })
	t.Run("a replaced member", func(t *testing.T) { contractReplaced(t, c) })
}

func contractNoSpace(t *testing.T, c *clusters.Cluster) {
	members := c.EtcdMembers()
	if _, err := liveInjector(t, c).Inject(t.Context(), RaiseNoSpace(members[1])); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("without .Losing: got %v", err)
	}
	i := landLive(t, liveInjector(t, c), RaiseNoSpace(members[1]))
	for _, m := range members {
		if err := put(t.Context(), c, m, "late", "x"); !errors.Is(err, rpctypes.ErrNoSpace) {
			t.Errorf("a put through %s: got %v, want %v", m, err, rpctypes.ErrNoSpace)
		}
		if value, err := get(t.Context(), c, m, "key-1"); err != nil || value != "value" {
			t.Errorf("a read from %s: %q, %v", m, value, err)
		}
	}
	if _, err := liveInjector(t, c).Inject(t.Context(), meant(RaiseNoSpace(members[0]))); err == nil || !strings.Contains(err.Error(), "has an alarm already") {
		t.Errorf("a second alarm: got %v", err)
	}
	healStore(t, i)
	for _, m := range members {
		if err := put(t.Context(), c, m, "late", "x"); err != nil {
			t.Errorf("a put through %s after the undo: %v", m, err)
		}
	}
	// The member whose alarm it is may be down when it is disarmed.
	i = landLive(t, liveInjector(t, c), RaiseNoSpace(members[2]))
	down := landLive(t, liveInjector(t, c), HoldDown(members[2]))
	if err := i.Undo(t.Context()); err != nil {
		t.Error(err)
	}
	eventually(t, "a put", 10*time.Second, members[0], func(ctx context.Context, m clusters.Instance) error { return put(ctx, c, m, "late", "y") })
	healStore(t, down)
}

func contractWipe(t *testing.T, c *clusters.Cluster) {
	wiped := c.EtcdMembers()[1]
	i := landLive(t, liveInjector(t, c), WipeData(wiped))
	says(t, wiped, "has already been bootstrapped")
	// The wiped member may have led.
	eventually(t, "a put", 10*time.Second, c.EtcdMembers()[0], func(ctx context.Context, m clusters.Instance) error { return put(ctx, c, m, "late", "during the wipe") })
	if value, err := get(t.Context(), c, wiped, "key-1"); err == nil {
		t.Errorf("the wiped member serves %q", value)
	}
	healStore(t, i)
	agree(t, c)
	if value, err := get(t.Context(), c, wiped, "late"); err != nil || value != "during the wipe" {
		t.Errorf("it has %q, %v", value, err)
	}
	mustReturn(t, c)
}

func contractCorrupt(t *testing.T, c *clusters.Cluster) {
	for _, m := range c.EtcdMembers() { // one of them leads
		i := landLive(t, liveInjector(t, c), CorruptData(m, 7))
		says(t, m, "found data inconsistency with peers")
		for _, other := range c.EtcdMembers().Except(m) {
			eventually(t, "a put", 10*time.Second, other, func(ctx context.Context, m clusters.Instance) error { return put(ctx, c, m, "late", m.Node.Name) })
		}
		healStore(t, i)
		agree(t, c)
	}
	mustReturn(t, c)
}

func contractStoresUndoThemselves(t *testing.T, c *clusters.Cluster) {
	members := c.EtcdMembers()
	for n, f := range []Fault{WipeData(members[0]), CorruptData(members[1], 1), RaiseNoSpace(members[2])} {
		i := landLive(t, liveInjector(t, c), f.WithTTL(12*time.Second))
		eventually(t, "a clean node", time.Until(i.Deadline())+10*time.Second, members[n], cleanStore)
		if time.Now().Before(i.Deadline().Add(-2 * time.Second)) {
			t.Errorf("%s was undone long before the deadline", f)
		}
		eventually(t, "a put", 20*time.Second, members[n], func(ctx context.Context, m clusters.Instance) error { return put(ctx, c, m, "late", f.String()) })
		healStore(t, i)
	}
	agree(t, c)
}

func contractStoresRecover(t *testing.T, c *clusters.Cluster) {
	members := c.EtcdMembers()
	for _, f := range []Fault{WipeData(members[2]), CorruptData(members[0], 9), RaiseNoSpace(members[1])} {
		dead := NewInjector(c, testJournal(t))
		landLive(t, dead, f)
		if err := dead.journal.Close(); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if report, err := Recover(t.Context(), []string{dead.journal.Path()}, shellForCluster(c), &out); err != nil || len(report.Undone) != 1 {
			t.Errorf("%+v, %v: %s", report, err, &out)
		}
		for _, m := range members {
			eventually(t, "a put", 20*time.Second, m, func(ctx context.Context, m clusters.Instance) error { return put(ctx, c, m, "late", f.String()) })
		}
		mustBeClean(t, f)
	}
	agree(t, c)
}

func contractStoresSabotage(t *testing.T, c *clusters.Cluster) {
	for _, f := range []Fault{RaiseNoSpace(c.EtcdMembers()[0])} {
		in := liveInjector(t, c)
		in.Sabotage.SkipInject = true
		if _, err := in.Inject(t.Context(), meant(f)); !errors.Is(err, ErrNotLanded) {
			t.Errorf("a %s that does nothing: got %v, want ErrNotLanded", f.Kind, err)
		}
		mustBeClean(t, f)
	}
	skippedUndoIsNotHealed(t, c, RaiseNoSpace(c.EtcdMembers()[0]))
}

// contractReplaced gives the place of a wiped member to a new one, as the documents say, and
// expects that the undo leaves that alone.
func contractReplaced(t *testing.T, c *clusters.Cluster) {
	wiped, others := c.EtcdMembers()[2], c.EtcdMembers()[:2]
	before, err := c.EtcdStatus(t.Context(), wiped)
	if err != nil {
		t.Fatal(err)
	}
	i := landLive(t, liveInjector(t, c), WipeData(wiped))
	client, err := c.EtcdClient(t.Context(), others[0])
	if err != nil {
		t.Fatal(err)
	}
	// The wiped member may have led: etcd waits for a leader as long as the request does.
	eventually(t, "the removal of the old member", 20*time.Second, others[0], func(ctx context.Context, _ clusters.Instance) error {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		_, err := client.MemberRemove(ctx, before.ID)
		if errors.Is(err, rpctypes.ErrMemberNotFound) {
			return nil // an earlier try has done it
		}
		return err
	})
	eventually(t, "a new member", 20*time.Second, others[0], func(ctx context.Context, _ clusters.Instance) error {
		_, err := client.MemberAdd(ctx, []string{"https://" + wiped.Node.Address + ":2380"})
		return err
	})
	script := `systemctl stop etcd && rm -rf /var/lib/etcd/member &&
sed -i 's/--initial-cluster=/--initial-cluster-state=existing --initial-cluster=/' /etc/systemd/system/etcd.service &&
systemctl daemon-reload && systemctl start etcd`
	if _, err := wiped.Node.Exec(t.Context(), "sh", "-c", script); err != nil {
		t.Fatal(err)
	}
	agree(t, c)
	healStore(t, i)
	agree(t, c)
	if after, err := c.EtcdStatus(t.Context(), wiped); err != nil || after.ID == before.ID {
		t.Errorf("the member was %x and is %x, %v; want the new one kept", before.ID, after.ID, err)
	}
	if err := WipeData(wiped).Available(t.Context()); err == nil || !strings.Contains(err.Error(), "give a vote twice") {
		t.Errorf("a wipe of a member that joined: got %v", err)
	}
	mustReturn(t, c)
}

// TestStoresUnderAControlPlane does the same to the only member below a whole Kubernetes, a
// static pod.
func TestStoresUnderAControlPlane(t *testing.T) {
	clustertest.NeedFull(t)
	c := clustertest.New(t, clusters.SingleHostMinimal())
	member := c.EtcdMembers()[0]
	t.Run("the alarm", func(t *testing.T) {
		i := landLive(t, liveInjector(t, c), RaiseNoSpace(member))
		if err := ready(t.Context(), c); err != nil {
			t.Errorf("the API is not ready: %v", err)
		}
		if err := writeObject(t.Context(), c); err == nil || !strings.Contains(err.Error(), "database space exceeded") {
			t.Errorf("a write through the API: got %v", err)
		}
		healStore(t, i)
		eventually(t, "a write", healing(c), member, func(ctx context.Context, _ clusters.Instance) error { return writeObject(ctx, c) })
		mustReturn(t, c)
	})
	t.Run("corrupted", func(t *testing.T) {
		i := landLive(t, liveInjector(t, c), CorruptData(member, 3))
		eventually(t, "an answer", healing(c), member, answers) // nobody is there to compare with
		healStore(t, i)
		mustReturn(t, c)
	})
	t.Run("wiped", func(t *testing.T) {
		i := landLive(t, liveInjector(t, c), WipeData(member))
		eventually(t, "an empty etcd", healing(c), member, func(ctx context.Context, m clusters.Instance) error {
			value, err := get(ctx, c, m, "/registry/namespaces/default-of-the-test")
			if err == nil && value != "" {
				err = errors.New("it has what it had")
			}
			return err
		})
		healStore(t, i)
		eventually(t, "what was stored", healing(c), member, func(ctx context.Context, m clusters.Instance) error {
			value, err := get(ctx, c, m, "/registry/namespaces/default-of-the-test")
			if err == nil && value == "" {
				err = errors.New("it is not there")
			}
			return err
		})
		mustReturn(t, c)
	})
}

// writeObject makes sure that there is a namespace, or changes it.
func writeObject(ctx context.Context, c *clusters.Cluster) error {
	client, err := c.Client(c.Front())
	if err != nil {
		return err
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default-of-the-test", Labels: map[string]string{"at": strconv.FormatInt(time.Now().UnixNano(), 10)}}}
	_, err = client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = client.CoreV1().Namespaces().Update(ctx, ns, metav1.UpdateOptions{})
	}
	return err
}
