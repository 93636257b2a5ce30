package fault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"faultline/clusters"
	"faultline/clusters/clustertest"
)

// diskLayout is etcd alone: on a mirror of its own, and two members that share a disk.
func diskLayout() clusters.Topology {
	mirror := clusters.Disk{Name: "mirror", Bytes: 512 << 20, Devices: 2, Mirrored: true}
	plain := clusters.Disk{Name: "plain", Bytes: 512 << 20, Devices: 1}
	return clusters.Topology{
		Name: "disks", Source: "test", LoadBalancer: clusters.NoLoadBalancer,
		Hosts: []clusters.Host{
			{Name: "h1", Disks: []clusters.Disk{mirror}, Members: []clusters.Member{{Role: clusters.EtcdServer, Disk: "mirror"}}},
			{Name: "h2", Disks: []clusters.Disk{plain}, Members: []clusters.Member{
				{Role: clusters.EtcdServer, Disk: "plain"}, {Role: clusters.EtcdServer, Disk: "plain"},
			}},
		},
	}
}

// stored writes and syncs where a member has its data, without its peers.
func stored(ctx context.Context, i clusters.Instance) error {
	_, err := i.Node.Exec(ctx, "sh", "-c", `echo x > "$1/.probe" && sync "$1/.probe" && rm "$1/.probe"`, "sh", clusters.EtcdData)
	return err
}

// TestDiskContract breaks disks in every way and judges by what their users see.
func TestDiskContract(t *testing.T) {
	if os.Getenv("FAULTLINE_LIVE_TESTS") == "" {
		t.Skip("set FAULTLINE_LIVE_TESTS=1 to break real disks")
	}
	c := clustertest.New(t, diskLayout())
	members := c.EtcdMembers()
	mirrored, one, other := members[0], members[1], members[2]
	t.Run("a device of a mirror fails", func(t *testing.T) {
		for _, device := range []int{0, 1} {
			before, err := mirrored.Process(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			i := landDisk(t, c, FailDevice(mirrored.Node, device))
			if err := stored(t.Context(), mirrored); err != nil {
				t.Errorf("the mirror without device %d: %v", device, err)
			}
			healDisk(t, i)
			if after, err := mirrored.Process(t.Context()); err != nil || !after.Is(before) {
				t.Errorf("etcd was %+v and is %+v, %v", before, after, err)
			}
		}
	})
	t.Run("a shared device fails", func(t *testing.T) {
		i := landDisk(t, c, FailDevice(one.Node, 0))
		for _, member := range []clusters.Instance{one, other} {
			eventually(t, "an I/O error", 5*time.Second, member, func(ctx context.Context, member clusters.Instance) error {
				if err := stored(ctx, member); err == nil || !strings.Contains(err.Error(), ioError) {
					return fmt.Errorf("got %w, want EIO", errors.Join(err, errors.New("no more")))
				}
				return nil
			})
		}
		if _, err := NewInjector(c, testJournal(t)).Inject(t.Context(), FailDevice(other.Node, 0)); err == nil || !strings.Contains(err.Error(), "broken already") {
			t.Errorf("the same device again: got %v, want a refusal", err)
		}
		healDisk(t, i)
		eventually(t, "the disk of the other member", 10*time.Second, other, stored)
	})
	t.Run("a disk is filled", func(t *testing.T) {
		for _, member := range []clusters.Instance{mirrored, one} {
			i := landDisk(t, c, FillDisk(member.Node, 1<<20))
			if _, err := member.Node.Exec(t.Context(), "fallocate", "-l", "32M", clusters.EtcdData+"/.probe"); err == nil || !strings.Contains(err.Error(), "No space left") {
				t.Errorf("%s: got %v, want ENOSPC", member, err)
			}
			member.Node.Exec(t.Context(), "rm", "-f", clusters.EtcdData+"/.probe")
			healDisk(t, i)
		}
	})
	t.Run("a disk is throttled", func(t *testing.T) {
		for _, member := range []clusters.Instance{mirrored, one} {
			healDisk(t, landDisk(t, c, ThrottleDisk(member.Node, 256<<10)))
		}
	})
	t.Run("inodes are taken", func(t *testing.T) { contractInodes(t, c) })
	t.Run("a disk is stalled", func(t *testing.T) { contractStall(t, c) })
	t.Run("a disk is read-only", func(t *testing.T) { contractReadOnly(t, c) })
	t.Run("nothing is done", func(t *testing.T) {
		for _, f := range []Fault{FillInodes(one.Node), StallDisk(mirrored.Node), ReadOnlyDisk(other.Node)} {
			in := liveInjector(t, c)
			in.Sabotage.SkipInject = true
			if _, err := in.Inject(t.Context(), meant(withLanding(f, 3*time.Second))); !errors.Is(err, ErrNotLanded) {
				t.Errorf("%s: got %v, want ErrNotLanded", f, err)
			}
			eventually(t, "a clean node", 5*time.Second, f.parts[0].node.Instances(clusters.Etcd)[0], unarmed)
		}
	})
	t.Run("recover from another process", func(t *testing.T) {
		for _, f := range []Fault{FillInodes(other.Node), StallDisk(one.Node), ReadOnlyDisk(one.Node)} {
			dead := NewInjector(c, testJournal(t))
			landLive(t, dead, f)
			if err := dead.journal.Close(); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if report, err := Recover(t.Context(), []string{dead.journal.Path()}, shellForCluster(c), &out); err != nil || len(report.Undone) != 1 {
				t.Errorf("%+v, %v: %s", report, err, &out)
			}
			for _, member := range []clusters.Instance{one, other} {
				eventually(t, "a disk that is written", 20*time.Second, member, stored)
				eventually(t, "a clean node", 5*time.Second, member, unarmed)
			}
		}
	})
	t.Run("the node undoes it itself", func(t *testing.T) {
		for _, f := range []Fault{
			FailDevice(one.Node, 0), FailDevice(mirrored.Node, 0), FillDisk(one.Node, 0), ThrottleDisk(mirrored.Node, 256<<10),
			StallDisk(other.Node),
		} {
			node := f.parts[0].node
			i := landDisk(t, c, f.WithTTL(10*time.Second))
			within := time.Until(i.Deadline()) + 20*time.Second
			eventually(t, "a whole disk after "+f.String(), within, node.Instances(clusters.Etcd)[0], func(ctx context.Context, member clusters.Instance) error {
				return member.Node.CheckDisk(ctx)
			})
			if time.Now().Before(i.Deadline().Add(-2 * time.Second)) {
				t.Errorf("%s was undone long before the deadline", f)
			}
			healDisk(t, i)
		}
	})
	mustReturn(t, c)
	// A stalled disk keeps nobody from removing the cluster, which is what ends this test.
	landLive(t, NewInjector(c, testJournal(t)), StallDisk(mirrored.Node))
}

// withLanding is a fault whose proof is not waited for that long.
func withLanding(f Fault, landing time.Duration) Fault {
	plan := f.parts[0].plan
	f.parts[0].plan = func(ctx context.Context, id string) (effect, error) {
		e, err := plan(ctx, id)
		e.landing = landing
		return e, err
	}
	return f
}

// contractInodes takes the inodes of a disk that two members share.
func contractInodes(t *testing.T, c *clusters.Cluster) {
	one, other := c.EtcdMembers()[1], c.EtcdMembers()[2]
	i := landDisk(t, c, FillInodes(one.Node))
	if err := stored(t.Context(), other); err == nil || !strings.Contains(err.Error(), "No space left") {
		t.Errorf("a new file: got %v, want ENOSPC", err)
	}
	if err := put(t.Context(), c, other, "late", "without inodes"); err != nil {
		t.Errorf("a put into the files that are there: %v", err)
	}
	if _, err := other.Node.Exec(t.Context(), "pkill", "-KILL", "-x", "etcd"); err != nil {
		t.Fatal(err)
	}
	says(t, other, "no space left on device")
	healDisk(t, i)
	eventually(t, "a put", 20*time.Second, other, func(ctx context.Context, m clusters.Instance) error { return put(ctx, c, m, "late", "with inodes") })
}

// contractStall stalls a mirror, which leaves a majority, and a disk that takes it.
func contractStall(t *testing.T, c *clusters.Cluster) {
	mirrored, one, other := c.EtcdMembers()[0], c.EtcdMembers()[1], c.EtcdMembers()[2]
	for _, test := range []struct {
		hit, through clusters.Instance
		alone        bool
	}{{mirrored, one, true}, {one, mirrored, false}} {
		eventually(t, "a put", 20*time.Second, test.through, func(ctx context.Context, m clusters.Instance) error { return put(ctx, c, m, "before", "x") })
		before, err := test.hit.Process(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		led := lead(t, c, test.hit)
		i := landDisk(t, c, StallDisk(test.hit.Node))
		if err := PowerOff(test.hit.Node).Available(t.Context()); err == nil || !strings.Contains(err.Error(), "is stalled") {
			t.Errorf("power off: got %v, want a refusal", err)
		}
		if test.alone {
			eventually(t, "a put by the others", 20*time.Second, test.through, func(ctx context.Context, m clusters.Instance) error { return put(ctx, c, m, "late", "x") })
			t.Logf("the others have acknowledged a put %s after the stall of the leader", time.Since(i.Instants().Landed))
			if status, err := c.EtcdStatus(t.Context(), test.through); err != nil || status.Leader == led {
				t.Errorf("the stalled member leads: %+v, %v", status, err)
			}
		} else {
			for range 3 { // a leader among them may be stalled and not know
				if err := put(t.Context(), c, test.through, "late", "y"); err == nil {
					t.Error("a put is acknowledged by a minority")
				}
			}
			if err := PowerOff(other.Node).Available(t.Context()); err == nil || !strings.Contains(err.Error(), "is stalled") {
				t.Errorf("power off of the other node: got %v, want a refusal", err)
			}
		}
		healDisk(t, i)
		eventually(t, "a put", 30*time.Second, test.hit, func(ctx context.Context, m clusters.Instance) error { return put(ctx, c, m, "late", "z") })
		if after, err := test.hit.Process(t.Context()); err != nil || !after.Is(before) {
			t.Errorf("etcd was %+v and is %+v, %v", before, after, err)
		}
	}
}

// lead makes a member the leader, and returns its ID.
func lead(t *testing.T, c *clusters.Cluster, member clusters.Instance) uint64 {
	t.Helper()
	leader, err := c.Leader(t.Context(), clusters.Etcd)
	if err != nil {
		t.Fatal(err)
	}
	status, err := c.EtcdStatus(t.Context(), member)
	if err != nil {
		t.Fatal(err)
	}
	if leader != member {
		client, err := c.EtcdClient(t.Context(), leader)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.MoveLeader(t.Context(), status.ID); err != nil {
			t.Fatal(err)
		}
	}
	return status.ID
}

// contractReadOnly makes a disk read-only that two members share.
func contractReadOnly(t *testing.T, c *clusters.Cluster) {
	one, other := c.EtcdMembers()[1], c.EtcdMembers()[2]
	eventually(t, "a put", 20*time.Second, one, func(ctx context.Context, m clusters.Instance) error { return put(ctx, c, m, "acknowledged", "y") })
	i := landDisk(t, c, ReadOnlyDisk(one.Node))
	for _, member := range []clusters.Instance{one, other} {
		if err := stored(t.Context(), member); err == nil || !strings.Contains(err.Error(), readOnly) {
			t.Errorf("%s: got %v, want EROFS", member, err)
		}
	}
	if err := put(t.Context(), c, one, "late", "x"); err == nil {
		t.Error("a put is acknowledged by a minority")
	}
	says(t, other, "read-only file system")
	healDisk(t, i)
	for _, member := range []clusters.Instance{one, other} {
		eventually(t, "what was acknowledged", 20*time.Second, member, func(ctx context.Context, m clusters.Instance) error {
			value, err := get(ctx, c, m, "acknowledged")
			if err == nil && value != "y" {
				err = fmt.Errorf("it has %q", value)
			}
			return errors.Join(err, put(ctx, c, m, "late", "z"))
		})
	}
}

// TestDisksUnderAControlPlane breaks the disks below a whole Kubernetes: a mirror's leg
// costs nothing, the only disk of all members costs everything until it is back.
func TestDisksUnderAControlPlane(t *testing.T) {
	clustertest.NeedFull(t)
	t.Run("a leg of a mirror", func(t *testing.T) {
		c := clustertest.New(t, clusters.SingleHostMirroredDisk())
		member := c.EtcdMembers()[0]
		for _, device := range []int{0, 1} {
			before, err := member.Process(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			i := landDisk(t, c, FailDevice(member.Node, device))
			if err := ready(t.Context(), c); err != nil {
				t.Errorf("the API without device %d: %v", device, err)
			}
			if err := c.CheckShape(t.Context()); err == nil || !strings.Contains(err.Error(), "mirror") {
				t.Errorf("a mirror without device %d: got %v", device, err)
			}
			healDisk(t, i)
			if after, err := member.Process(t.Context()); err != nil || after.PID != before.PID {
				t.Errorf("etcd was %+v and is %+v, %v", before, after, err)
			}
		}
		mustReturn(t, c)
	})
	t.Run("the only disk", func(t *testing.T) {
		c := clustertest.New(t, clusters.ThreeEtcdOneHost(clusters.OneDisk))
		i := landDisk(t, c, FailDevice(c.EtcdMembers()[1].Node, 0))
		eventually(t, "the end of the API", time.Minute, c.EtcdMembers()[0], func(ctx context.Context, _ clusters.Instance) error {
			if ready(ctx, c) == nil {
				return errors.New("the API is ready without its store")
			}
			return nil
		})
		healDisk(t, i)
		mustReturn(t, c)
	})
}

// ready asks the API whether it is, with its store.
func ready(ctx context.Context, c *clusters.Cluster) error {
	client, err := c.Client(c.Front())
	if err != nil {
		return err
	}
	return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// mustReturn waits until the cluster is whole.
func mustReturn(t *testing.T, c *clusters.Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	if err := c.AwaitShape(ctx); err != nil {
		t.Error(err)
	}
}

func landDisk(t *testing.T, c *clusters.Cluster, f Fault) *Injection {
	t.Helper()
	return landLive(t, liveInjector(t, c), f)
}

// healDisk undoes a fault twice, waits for healing and looks for leftovers.
func healDisk(t *testing.T, i *Injection) {
	t.Helper()
	undoTwice(t, i, time.Minute)
	for _, p := range i.Fault.parts {
		eventually(t, "a clean node", 5*time.Second, clusters.Instance{Component: clusters.Etcd, Node: p.node}, unarmed)
	}
}

// unarmed says that nothing of a fault is on the node.
func unarmed(ctx context.Context, i clusters.Instance) error {
	out, err := i.Node.Exec(ctx, "sh", "-c", `systemctl list-units --all --plain --no-legend 'faultline-undo-*' 'faultline-hold-*'
find /var/lib/faultline 2>/dev/null || true`)
	if left := strings.TrimSpace(string(out)); err == nil && left != "" {
		err = fmt.Errorf("left on %s: %s", i.Node.Name, left)
	}
	return err
}
