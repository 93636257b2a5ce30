package kind_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"faultline/clusters"
	"faultline/clusters/clustertest"
	"faultline/clusters/kind"
)

// mustBecome waits until the shape is there again.
func mustBecome(t *testing.T, c *clusters.Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	if err := c.AwaitShape(ctx); err != nil {
		t.Fatal(err)
	}
}

// mustNotBe wants the shape to be refused with a reason, once the kubelet has done what the
// change means.
func mustNotBe(t *testing.T, c *clusters.Cluster, reason string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := clusters.Await(ctx, 100*time.Millisecond, "the refusal of the shape", func(ctx context.Context) error {
		if err := c.CheckShape(ctx); err == nil || !strings.Contains(err.Error(), reason) {
			return errors.Join(fmt.Errorf("it is not refused because of %q", reason), err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func run(t *testing.T, n *clusters.Node, script string) {
	t.Helper()
	if _, err := n.Exec(t.Context(), "sh", "-c", script); err != nil {
		t.Fatal(err)
	}
}

// addresses are the nodes' own words.
func addresses(t *testing.T, nodes []*clusters.Node) string {
	t.Helper()
	var all []string
	for _, n := range nodes {
		out, err := n.Exec(t.Context(), "hostname", "-i")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.TrimSpace(string(out)))
	}
	return strings.Join(all, " ")
}

func TestBareEtcd(t *testing.T) {
	topology := clusters.BareEtcd(3)
	topology.Hosts[0].CPUs, topology.Hosts[1].CPUs = "0", "1"
	topology.Hosts[0].MemoryBytes = 512 << 20
	began := time.Now()
	c := clustertest.New(t, topology)
	t.Logf("ready after %s", time.Since(began))
	t.Run("cores and memory are the host's", func(t *testing.T) {
		run(t, c.Nodes[0], `test "$(nproc)" = 1`)
		run(t, c.Nodes[0], `cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null | grep -qx 536870912`)
	})
	t.Run("a host that restarts keeps its address, and its member comes back", func(t *testing.T) {
		host := c.Host("h1")
		before := addresses(t, host)
		if err := clusters.Restart(t.Context(), host...); err != nil {
			t.Fatal(err)
		}
		mustBecome(t, c)
		if after := addresses(t, host); after != before {
			t.Errorf("%s before, %s after", before, after)
		}
	})
	t.Run("members that migrate keep their processes", func(t *testing.T) {
		moved := c.Host("h1")
		before, err := c.EtcdMembers().On(moved[0].Name)[0].Process(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		frozen, err := c.Migrate(t.Context(), "h2", 500*time.Millisecond, moved...)
		if err != nil || frozen < 500*time.Millisecond {
			t.Fatalf("frozen for %s: %v", frozen, err)
		}
		t.Logf("frozen for %s", frozen)
		after, err := c.EtcdMembers().On(moved[0].Name)[0].Process(t.Context())
		if err != nil || !after.Is(before) {
			t.Errorf("%+v before, %+v after, %v", before, after, err)
		}
		run(t, moved[0], `grep -q "Cpus_allowed_list:.*1$" /proc/1/status`)
		mustNotBe(t, c, "host h1 has 0 members")
		if _, err := c.Migrate(t.Context(), "h1", 0, moved...); err != nil {
			t.Fatal(err)
		}
		mustBecome(t, c)
		if _, err := c.Migrate(t.Context(), "h9", 0, moved...); err == nil || !strings.Contains(err.Error(), "no host") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a member that is away is noticed", func(t *testing.T) {
		run(t, c.Nodes[2], "systemctl stop etcd")
		mustNotBe(t, c, "")
		run(t, c.Nodes[2], "systemctl start etcd")
		mustBecome(t, c)
	})
	t.Run("equal contents", func(t *testing.T) {
		if err := c.AwaitEqualHashes(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestStaticPodCopies(t *testing.T) {
	c := clustertest.New(t, clusters.SingleHostStaticPods())
	t.Run("each copy has a process, a container and a log of its own", func(t *testing.T) {
		seen := map[int]clusters.Instance{}
		for _, component := range []clusters.Component{clusters.Etcd, clusters.APIServer, clusters.Scheduler, clusters.ControllerManager} {
			for _, i := range c.Instances(component) {
				p, err := i.Process(t.Context())
				if err != nil {
					t.Error(err)
				}
				if other, taken := seen[p.PID]; taken {
					t.Errorf("%s and %s are the same process %d", i, other, p.PID)
				}
				seen[p.PID] = i
				if containers, err := i.Containers(t.Context()); err != nil || len(containers) == 0 {
					t.Errorf("%s: containers %v, %v", i, containers, err)
				}
				if log, err := i.Log(t.Context(), 5); err != nil || len(log) == 0 {
					t.Errorf("%s: log of %d bytes, %v", i, len(log), err)
				}
			}
		}
		if len(seen) != 9 {
			t.Errorf("%d processes, want 9", len(seen))
		}
	})
	t.Run("one leader of each elected component is told from its copy", func(t *testing.T) {
		for _, component := range []clusters.Component{clusters.Scheduler, clusters.ControllerManager} {
			leader, err := c.Leader(t.Context(), component)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("leader: %s", leader)
		}
	})
	t.Run("a copy that is away, or talks to another server, is noticed", func(t *testing.T) {
		node := c.Nodes[0]
		run(t, node, "sed -i s/:6444/:6443/ /etc/kubernetes/scheduler-2.conf")
		mustNotBe(t, c, "kube-scheduler-2 on "+node.Name+" talks to")
		run(t, node, "sed -i s/:6443/:6444/ /etc/kubernetes/scheduler-2.conf; mv /etc/kubernetes/manifests/kube-apiserver-2.yaml /root/")
		mustNotBe(t, c, "")
		run(t, node, "mv /root/kube-apiserver-2.yaml /etc/kubernetes/manifests/")
		mustBecome(t, c)
	})
}

func TestSpreadComponents(t *testing.T) {
	c := clustertest.New(t, clusters.TwoHostSpread())
	master, worker := c.Nodes[0], c.Nodes[1]
	if n := len(master.Instances(clusters.Scheduler)) + len(worker.Instances(clusters.Etcd)); n > 0 {
		t.Errorf("%d instances on the wrong node", n)
	}
	leader, err := c.Leader(t.Context(), clusters.Scheduler)
	if err != nil || leader.Node != worker {
		t.Errorf("the scheduler's leader is %v, %v", leader, err)
	}
	run(t, worker, "cp /etc/kubernetes/manifests/kube-scheduler.yaml /root/")
	text, err := worker.Exec(t.Context(), "cat", "/root/kube-scheduler.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := master.ExecInput(t.Context(), strings.NewReader(string(text)), "sh", "-c", "cat > /etc/kubernetes/manifests/kube-scheduler.yaml"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = clusters.Await(ctx, time.Second, "a scheduler that does not belong there to be noticed", func(ctx context.Context) error {
		if err := c.CheckShape(ctx); err == nil || !strings.Contains(err.Error(), "belongs elsewhere") {
			return errors.New("it is not")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestSharedAddressMoves(t *testing.T) {
	clustertest.NeedFull(t)
	c := clustertest.New(t, clusters.MultiMasterTwoLBs())
	holders, err := c.AddressHolders(t.Context())
	if err != nil || len(holders) != 1 {
		t.Fatalf("holders: %v, %v", holders, err)
	}
	client, err := c.Client(c.Front())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := clusters.LocalShell(t.Context(), "", nil, holders[0].Power.Off...); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = clusters.Await(ctx, 100*time.Millisecond, "the address to move", func(context.Context) error {
		_, err := client.Discovery().ServerVersion()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the API answers through the other load balancer after %s", time.Since(began))
	mustNotBe(t, c, "")
	if _, err := clusters.LocalShell(t.Context(), "", nil, holders[0].Power.On...); err != nil {
		t.Fatal(err)
	}
	mustBecome(t, c)
}

func TestHostOfEtcdServersRestarts(t *testing.T) {
	clustertest.NeedFull(t)
	c := clustertest.New(t, clusters.EtcdTwoPlusOne())
	before := addresses(t, c.Host("h1"))
	if err := clusters.Restart(t.Context(), c.Host("h1")...); err != nil {
		t.Fatal(err)
	}
	mustBecome(t, c)
	if after := addresses(t, c.Host("h1")); after != before {
		t.Errorf("%s before, %s after", before, after)
	}
}

func TestFailedBootSavesLogsAndLeavesNothing(t *testing.T) {
	o := clustertest.Options(t, clusters.SingleHostMinimal())
	o.Images.Workload, o.Logs = "faultline/none:none", t.TempDir()
	before := volumes(t, o)
	if _, err := kind.Create(t.Context(), o); err == nil || !strings.Contains(err.Error(), "logs are in") {
		t.Fatalf("got %v", err)
	}
	logs, err := filepath.Glob(filepath.Join(o.Logs, "*", "*", "kubelet.log"))
	if err != nil || len(logs) != 1 {
		t.Errorf("logs: %v, %v", logs, err)
	}
	if rest := left(t, o); rest != "" {
		t.Errorf("left: %s", rest)
	}
	if now := volumes(t, o); now != before {
		t.Errorf("%d volumes before, %d after", before, now)
	}
}

func TestTooMuchMemoryIsRefused(t *testing.T) {
	topology := clusters.SingleHostMinimal()
	for range 999 {
		topology.Hosts[0].Members = append(topology.Hosts[0].Members, clusters.Member{Role: clusters.Worker})
	}
	o := clustertest.Options(t, topology)
	if _, err := kind.Create(t.Context(), o); err == nil || !strings.Contains(err.Error(), "memory") {
		t.Errorf("got %v", err)
	}
	if entries, err := os.ReadDir(o.Dir); err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestWorkloadLayouts(t *testing.T) {
	clustertest.NeedFull(t)
	for _, topology := range []clusters.Topology{clusters.DNSOnHosts(), clusters.ExternalDB(), clusters.AirGap()} {
		t.Run(topology.Name, func(t *testing.T) {
			c := clustertest.New(t, topology)
			if err := c.Remember(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := c.CheckAsNew(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
