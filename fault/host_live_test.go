package fault

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"faultline/clusters"
	"faultline/clusters/clustertest"
)

// TestHostContract reboots, freezes and destroys etcd servers, and judges by what etcd and
// this machine see of them.
func TestHostContract(t *testing.T) {
	if os.Getenv("FAULTLINE_LIVE_TESTS") == "" {
		t.Skip("set FAULTLINE_LIVE_TESTS=1 to break real nodes")
	}
	c := clustertest.New(t, clusters.BareEtcd(3))
	t.Run("reboot one after another", func(t *testing.T) { contractRolling(t, c) })
	if clustertest.Full() {
		t.Run("a half-done reboot", func(t *testing.T) { contractHalfDoneReboot(t, c) })
	}
	t.Run("blackout", func(t *testing.T) { contractBlackout(t, c) })
	t.Run("sabotage", func(t *testing.T) { contractHostSabotage(t, c) })
	t.Run("destroy", func(t *testing.T) { contractDestroy(t, c) })
}

// processOf is the etcd of a node, which does not outlive its host.
func processOf(t *testing.T, i clusters.Instance) clusters.Process {
	t.Helper()
	p, err := i.Process(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func contractRolling(t *testing.T, c *clusters.Cluster) {
	members := c.EtcdMembers()[:2]
	var before []clusters.Process
	var reboots []Fault
	for _, member := range members {
		before = append(before, processOf(t, member))
		reboots = append(reboots, Reboot(member.Node))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	done, err := liveInjector(t, c).Rolling(ctx, reboots...)
	if err != nil || len(done) != len(members) {
		t.Fatalf("%d of %d reboots: %v", len(done), len(members), err)
	}
	for n, i := range done {
		at := i.Instants()
		t.Logf("%s: landed after %s, healed after %s; %s", i.Fault, at.Landed.Sub(at.Injecting), at.Healed.Sub(at.Injecting), i.Proof())
		if n > 0 && at.Injecting.Before(done[n-1].Instants().Healed) {
			t.Errorf("%s began before the former was healed", i.Fault)
		}
		if now := processOf(t, members[n]); now.Is(before[n]) {
			t.Errorf("%s has the same process %+v", members[n], now)
		}
		if err := dial(members[n].Node, 2379); err != nil {
			t.Errorf("at the old address: %v", err)
		}
		mustLead(t, c, members[n], true)
		mustForget(t, i)
	}
}

// dial asks for a connection from this machine.
func dial(n *clusters.Node, port int) error {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(n.Address, fmt.Sprint(port)), time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// mustForget says that nothing of a fault is on this machine.
func mustForget(t *testing.T, i *Injection) {
	t.Helper()
	nothingHere(t, i)
	for _, e := range i.effects {
		if out, _ := clusters.ThisMachine().Exec(t.Context(), "pgrep", "-f", "faultline-undo.*"+e.id); len(out) > 0 {
			t.Errorf("a timer still runs on this machine: %s", out)
		}
	}
}

// contractHalfDoneReboot is a process that died between off and on: the timer, or another
// process, switches the node on.
func contractHalfDoneReboot(t *testing.T, c *clusters.Cluster) {
	target := c.EtcdMembers()[0]
	f := Reboot(target.Node)
	plan := f.parts[0].plan
	f.parts[0].plan = func(ctx context.Context, id string) (effect, error) {
		e, err := plan(ctx, id)
		e.inject = target.Node.Power.Off
		e.prove = func(context.Context) (string, error) { return "off, and never on", nil }
		return e, err
	}
	i := landLive(t, liveInjector(t, c), f.WithTTL(5*time.Second))
	if err := dial(target.Node, 2379); err == nil {
		t.Error("it is on")
	}
	eventually(t, "the timer to switch it on", time.Until(i.Deadline())+time.Minute, target, func(_ context.Context, i clusters.Instance) error {
		return dial(i.Node, 2379)
	})
	healHost(t, i)
}

func contractBlackout(t *testing.T, c *clusters.Cluster) {
	target := c.EtcdMembers()[1]
	before := processOf(t, target)
	const length = 3 * time.Second
	silent := make(chan time.Duration, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { silent <- longestSilence(ctx, target.Node) }()
	i := landLive(t, liveInjector(t, c), Blackout(length, target.Node))
	mustLead(t, c, target, true)
	cancel()
	acted := i.Instants().Injected.Sub(i.Instants().Injecting)
	if was := <-silent; was < length-500*time.Millisecond || was > acted+5*time.Second {
		t.Errorf("it was silent for %s, want %s to %s", was, length, acted)
	} else {
		t.Logf("it was silent for %s", was)
	}
	if now := processOf(t, target); !now.Is(before) {
		t.Errorf("etcd was %+v and is %+v", before, now)
	}
	healHost(t, i)
}

// longestSilence asks a node's etcd for its health all the time, and returns the longest
// time without an answer.
func longestSilence(ctx context.Context, n *clusters.Node) (longest time.Duration) {
	last := time.Now()
	for ctx.Err() == nil {
		if out, err := clusters.LocalShell(ctx, "", nil, "curl", "-sk", "-m", "10", "-o", "/dev/null", "-w", "%{time_connect}", "https://"+n.Address+":2379/"); err == nil || len(out) > 0 || !strings.Contains(err.Error(), "status 28") {
			longest, last = max(longest, time.Since(last)), time.Now()
		}
	}
	return longest
}

func contractHostSabotage(t *testing.T, c *clusters.Cluster) {
	target := c.EtcdMembers()[2]
	for _, f := range []Fault{Reboot(target.Node), Blackout(time.Second, target.Node), Destroy(target.Node)} {
		in := liveInjector(t, c)
		in.Sabotage.SkipInject = true
		hurry(f, time.Second)
		if _, err := in.Inject(t.Context(), meant(f)); !errors.Is(err, ErrNotLanded) {
			t.Errorf("a %s that does nothing: got %v, want ErrNotLanded", f.Kind, err)
		}
	}
	if err := dial(target.Node, 2379); err != nil {
		t.Error(err)
	}
}

// hurry shortens the wait for a proof that does not come.
func hurry(f Fault, landing time.Duration) {
	for k := range f.parts {
		plan := f.parts[k].plan
		f.parts[k].plan = func(ctx context.Context, id string) (effect, error) {
			e, err := plan(ctx, id)
			e.landing = landing
			return e, err
		}
	}
}

// contractDestroy comes last: nothing brings the node back.
func contractDestroy(t *testing.T, c *clusters.Cluster) {
	members := c.EtcdMembers()
	lost, rest := members[0], members[1:]
	volumes := volumesOf(t, lost.Node)
	in := NewInjector(c, testJournal(t))
	i, err := in.Inject(t.Context(), Destroy(lost.Node))
	if err != nil {
		t.Fatalf("one of three members may be lost: %v", err)
	}
	at := i.Instants()
	t.Logf("%s: landed after %s; %s", i.Fault, at.Landed.Sub(at.Injecting), i.Proof())
	if err := dial(lost.Node, 2379); err == nil {
		t.Error("it answers")
	}
	for _, v := range volumes {
		if _, err := clusters.ThisMachine().Exec(t.Context(), lost.Node.Power.Destroy[0], "volume", "inspect", v); err == nil {
			t.Errorf("its volume %s is still there", v)
		}
	}
	for _, member := range rest {
		mustLead(t, c, member, true)
	}
	if _, err := in.Inject(t.Context(), Destroy(rest[0].Node)); err == nil || !strings.Contains(err.Error(), `.Losing("etcd")`) {
		t.Errorf("a second of three members: got %v, want a refusal", err)
	}
	if err := errors.Join(i.Undo(t.Context()), i.Undo(t.Context())); err != nil {
		t.Error(err)
	}
	if err := i.AwaitHealed(t.Context()); !errors.Is(err, ErrIrreversible) {
		t.Errorf("healing: got %v", err)
	}
	report, err := Recover(t.Context(), []string{in.journal.Path()}, shellForCluster(c), os.Stdout)
	if err != nil || len(report.Undone)+len(report.Failed) > 0 {
		t.Errorf("the journal is not closed: %+v, %v", report, err)
	}
}

// volumesOf lists the engine's volumes of a node.
func volumesOf(t *testing.T, n *clusters.Node) []string {
	t.Helper()
	out, err := clusters.ThisMachine().Exec(t.Context(), n.Power.Destroy[0], "inspect", "--format", "{{range .Mounts}}{{.Name}} {{end}}", n.Name)
	if err != nil {
		t.Fatal(err)
	}
	if len(strings.Fields(string(out))) == 0 {
		t.Fatalf("%s has no volumes", n.Name)
	}
	return strings.Fields(string(out))
}

// healHost undoes a fault twice, waits for healing and looks for leftovers.
func healHost(t *testing.T, i *Injection) {
	t.Helper()
	start := time.Now()
	if err := errors.Join(i.Undo(t.Context()), i.Undo(t.Context())); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := i.AwaitHealed(ctx); err != nil {
		t.Error(err)
	}
	t.Logf("%s: healed %s after the undo began", i.Fault, i.Instants().Healed.Sub(start))
	mustForget(t, i)
}
