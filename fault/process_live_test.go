package fault

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"faultline/clusters"
	"faultline/clusters/clustertest"
)

// speaks asks a member from this machine's network what it knows.
func speaks(c *clusters.Cluster) func(context.Context, clusters.Instance) error {
	return func(ctx context.Context, member clusters.Instance) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err := c.EtcdStatus(ctx, member)
		return err
	}
}

// not is the opposite of a check.
func not(check func(context.Context, clusters.Instance) error) func(context.Context, clusters.Instance) error {
	return func(ctx context.Context, i clusters.Instance) error {
		if check(ctx, i) == nil {
			return fmt.Errorf("%s still answers", i)
		}
		return nil
	}
}

// remainsSilent looks several times.
func remainsSilent(t *testing.T, i clusters.Instance, check func(context.Context, clusters.Instance) error) {
	t.Helper()
	for range 5 {
		if err := check(t.Context(), i); err != nil {
			t.Errorf("%s: %v", i, err)
		}
	}
}

// endLive undoes a fault twice, waits for healing and looks for leftovers.
func endLive(t *testing.T, i *Injection, target clusters.Instance) {
	t.Helper()
	undoing := time.Now()
	if err := errors.Join(i.Undo(t.Context()), i.Undo(t.Context())); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := i.AwaitHealed(ctx); err != nil {
		t.Error(err)
	}
	t.Logf("healed %s after the undo began", i.Instants().Healed.Sub(undoing))
	eventually(t, "a clean node", 5*time.Second, target, clean)
}

// TestServiceContract breaks etcd where it is a service of systemd.
func TestServiceContract(t *testing.T) {
	clustertest.NeedFull(t)
	if os.Getenv("FAULTLINE_LIVE_TESTS") == "" {
		t.Skip("set FAULTLINE_LIVE_TESTS=1 to break real services")
	}
	c := clustertest.New(t, clusters.BareEtcd(3))
	member := c.EtcdMembers()[1]
	answers := speaks(c)
	for _, kind := range []Kind{KindKill, KindTerminate, KindPause, KindHoldDown, KindCrashLoop, KindStopService} {
		t.Run(string(kind), func(t *testing.T) {
			i := landLive(t, liveInjector(t, c), constructors[kind].make(member))
			if constructors[kind].undo != "" {
				remainsSilent(t, member, not(answers))
			}
			endLive(t, i, member)
			eventually(t, "an answer", 10*time.Second, member, answers)
		})
	}
	t.Run("a stopped service stays so over a reboot", func(t *testing.T) {
		i := landLive(t, liveInjector(t, c), StopService(member))
		if err := clusters.Restart(t.Context(), member.Node); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a boot without etcd", 30*time.Second, member, func(ctx context.Context, member clusters.Instance) error {
			_, err := member.Node.Exec(ctx, "systemctl", "is-active", "multi-user.target")
			return err
		})
		remainsSilent(t, member, not(answers))
		if _, err := i.Prove(t.Context()); err != nil {
			t.Errorf("Prove after the reboot: %v", err)
		}
		endLive(t, i, member)
		eventually(t, "an answer", 10*time.Second, member, answers)
	})
	t.Run("the node undoes it itself", func(t *testing.T) {
		for _, kind := range []Kind{KindStopService, KindCrashLoop} {
			i := landLive(t, liveInjector(t, c), constructors[kind].make(member).WithTTL(8*time.Second))
			eventually(t, "a clean node", time.Until(i.Deadline())+5*time.Second, member, clean)
			t.Logf("the node had undone %s %s after its deadline", kind, time.Since(i.Deadline()))
			if time.Now().Before(i.Deadline().Add(-2 * time.Second)) {
				t.Error("undone long before the deadline")
			}
			endLive(t, i, member)
			eventually(t, "an answer", 10*time.Second, member, answers)
		}
	})
	t.Run("another process recovers", func(t *testing.T) {
		for _, kind := range []Kind{KindStopService, KindCrashLoop} {
			recoverLive(t, c, constructors[kind].make(member))
			eventually(t, "an answer", 10*time.Second, member, answers)
			eventually(t, "a clean node", 5*time.Second, member, clean)
		}
	})
	t.Run("a no-op has not landed", func(t *testing.T) {
		in := liveInjector(t, c)
		in.Sabotage.SkipInject = true
		f := HoldDown(member)
		if _, err := in.Inject(t.Context(), meant(f)); !errors.Is(err, ErrNotLanded) {
			t.Errorf("got %v, want ErrNotLanded", err)
		}
		eventually(t, "an answer", 5*time.Second, member, answers)
		eventually(t, "a clean node", 5*time.Second, member, clean)
	})
	mustReturn(t, c)
}

// recoverLive injects a fault, forgets it, and recovers from its journal.
func recoverLive(t *testing.T, c *clusters.Cluster, f Fault) {
	t.Helper()
	dead := NewInjector(c, testJournal(t))
	landLive(t, dead, f)
	if err := dead.journal.Close(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	report, err := Recover(t.Context(), []string{dead.journal.Path()}, shellForCluster(c), &out)
	t.Log(out.String())
	if err != nil || len(report.Undone) != len(f.parts) {
		t.Errorf("%+v, %v", report, err)
	}
}

// through asks for the API through what stands before the servers.
func through(c *clusters.Cluster) func(context.Context, clusters.Instance) error {
	return func(ctx context.Context, _ clusters.Instance) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		return ready(ctx, c)
	}
}

// twoMasters is the smallest layout with kind's load balancer.
func twoMasters() clusters.Topology {
	master := clusters.Member{Role: clusters.ControlPlane, Workloads: true}
	return clusters.Topology{
		Name: "two-masters", Source: "test", LoadBalancer: clusters.OneLoadBalancer,
		Hosts: []clusters.Host{
			{Name: "h1", Members: []clusters.Member{{Role: clusters.EtcdServer}, master}},
			{Name: "h2", Members: []clusters.Member{master}},
		},
	}
}

// TestLoadBalancerContract breaks kind's own load balancer, which has no systemd, and
// judges by what clients get through it.
func TestLoadBalancerContract(t *testing.T) {
	clustertest.NeedFull(t)
	c := clustertest.New(t, twoMasters())
	balancer := c.Instances(clusters.Envoy)[0]
	answers := through(c)
	for _, kind := range []Kind{KindKill, KindPause, KindHoldDown} {
		t.Run(string(kind), func(t *testing.T) {
			held := holdConnection(t, c)
			i := landLive(t, liveInjector(t, c), constructors[kind].make(balancer))
			if kind != KindKill {
				remainsSilent(t, balancer, not(answers))
			}
			if ended := connectionEnds(held); ended != (kind != KindPause) {
				t.Errorf("the connection through the balancer has ended: %t", ended)
			}
			endLive(t, i, balancer)
			eventually(t, "an answer", 20*time.Second, balancer, answers)
			noTimers(t)
		})
	}
	for kind, f := range map[Kind]Fault{KindPowerOff: PowerOff(c.Forwarder), KindFreeze: Freeze(c.Forwarder)} {
		t.Run(string(kind), func(t *testing.T) {
			i := landLive(t, liveInjector(t, c), f)
			remainsSilent(t, balancer, not(answers))
			endLive(t, i, balancer)
			eventually(t, "an answer", 20*time.Second, balancer, answers)
			noTimers(t)
		})
	}
	t.Run("this machine undoes it itself", func(t *testing.T) {
		for _, kind := range []Kind{KindPause, KindHoldDown} {
			i := landLive(t, liveInjector(t, c), constructors[kind].make(balancer).WithTTL(20*time.Second)) // a client gives up after 2 s, five times
			remainsSilent(t, balancer, not(answers))
			eventually(t, "an answer", time.Until(i.Deadline())+10*time.Second, balancer, answers)
			t.Logf("clients had their answer %s after the deadline", time.Since(i.Deadline()))
			noTimers(t)
			endLive(t, i, balancer)
		}
	})
	t.Run("another process recovers", func(t *testing.T) {
		for _, kind := range []Kind{KindPause, KindHoldDown} {
			recoverLive(t, c, constructors[kind].make(balancer))
			eventually(t, "an answer", 20*time.Second, balancer, answers)
			eventually(t, "a clean node", 5*time.Second, balancer, clean)
			noTimers(t)
		}
	})
	t.Run("a no-op has not landed, and SIGTERM is refused", func(t *testing.T) {
		in := liveInjector(t, c)
		if _, err := in.Inject(t.Context(), meant(Terminate(balancer))); err == nil || !strings.Contains(err.Error(), "nobody restarts") {
			t.Errorf("terminate: got %v, want a refusal", err)
		}
		in.Sabotage.SkipInject = true
		if _, err := in.Inject(t.Context(), meant(Pause(balancer))); !errors.Is(err, ErrNotLanded) {
			t.Errorf("got %v, want ErrNotLanded", err)
		}
		eventually(t, "an answer", 5*time.Second, balancer, answers)
		noTimers(t)
	})
	mustReturn(t, c)
}

// noTimers says that this machine's timers are gone. A timer that fires takes its file
// away after its effect.
func noTimers(t *testing.T) {
	t.Helper()
	eventually(t, "no timer", 5*time.Second, clusters.Instance{Node: clusters.ThisMachine()}, func(context.Context, clusters.Instance) error {
		if left, _ := filepath.Glob("/tmp/faultline-undo-*"); len(left) > 0 {
			return fmt.Errorf("left on this machine: %v", left)
		}
		return nil
	})
}

// holdConnection opens a connection through what stands before the API servers.
func holdConnection(t *testing.T, c *clusters.Cluster) *tls.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // nothing is sent
	conn, err := dialer.DialContext(ctx, "tcp", c.Front().Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*tls.Conn)
}

// connectionEnds tells whether the other side ends the connection within a second.
func connectionEnds(conn *tls.Conn) bool {
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return true
	}
	_, err := conn.Read(make([]byte, 1))
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// TestBalancerServiceContract breaks HAProxy and keepalived on machines that share an
// address, and one of two copies of the API server on one node.
func TestBalancerServiceContract(t *testing.T) {
	clustertest.NeedFull(t)
	c := clustertest.New(t, clusters.SingleHostStaticPods())
	answers := through(c)
	proxies, sharers := c.Instances(clusters.HAProxy), c.Instances(clusters.Keepalived)
	if len(proxies) == 0 || len(sharers) == 0 {
		t.Fatalf("no balancers in %s", c.Topology.Name)
	}
	for _, target := range []clusters.Instance{proxies[0], sharers[0]} {
		for _, kind := range []Kind{KindKill, KindTerminate, KindPause, KindHoldDown, KindStopService} {
			t.Run(string(kind)+"/"+string(target.Component), func(t *testing.T) {
				i := landLive(t, liveInjector(t, c), constructors[kind].make(target))
				if kind == KindStopService || target.Component == clusters.HAProxy && constructors[kind].undo != "" {
					remainsSilent(t, target, not(answers))
				}
				endLive(t, i, target)
				eventually(t, "an answer", 20*time.Second, target, answers)
			})
		}
	}
	t.Run("one of two API servers of a node crashes", func(t *testing.T) {
		servers := c.Instances(clusters.APIServer)
		if len(servers) < 2 || servers[0].Node != servers[1].Node {
			t.Fatalf("API servers: %v", servers)
		}
		for n, kind := range []Kind{KindCrashLoop, KindHoldDown} {
			broken, other := servers[1-n], servers[n]
			process, err := other.Process(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			i := landLive(t, liveInjector(t, c), constructors[kind].make(broken))
			eventually(t, "the other server", 20*time.Second, other, answers)
			if now, err := other.Process(t.Context()); err != nil || now.PID != process.PID {
				t.Errorf("%s: %s was process %d and is %d, %v", kind, other, process.PID, now.PID, err)
			}
			endLive(t, i, broken)
		}
	})
	mustReturn(t, c)
}
