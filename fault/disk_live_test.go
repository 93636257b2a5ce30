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
			if after, err := mirrored.Process(t.Context()); err != nil || after.PID != before.PID || after.StartTicks != before.StartTicks {
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
	t.Run("the node undoes it itself", func(t *testing.T) {
		for _, f := range []Fault{FailDevice(one.Node, 0), FailDevice(mirrored.Node, 0), FillDisk(one.Node, 0), ThrottleDisk(mirrored.Node, 256<<10)} {
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
	start := time.Now()
	if err := errors.Join(i.Undo(t.Context()), i.Undo(t.Context())); err != nil {
		t.Fatal(err)
	}
	undone := time.Since(start)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := i.AwaitHealed(ctx); err != nil {
		t.Error(err)
	}
	t.Logf("%s: undone in %s, healed after %s", i.Fault, undone, i.Instants().Healed.Sub(start))
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
