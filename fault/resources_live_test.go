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

// TestResourcesContract takes a node's resources in every way, and loads its API server.
// It judges by what the kernel says of the whole node, and by what the API says.
func TestResourcesContract(t *testing.T) {
	clustertest.NeedFull(t)
	if os.Getenv("FAULTLINE_LIVE_TESTS") == "" {
		t.Skip("set FAULTLINE_LIVE_TESTS=1 to break a real cluster")
	}
	c := clustertest.New(t, clusters.SingleHostMinimal())
	n := c.Nodes[0]
	t.Run("stress", func(t *testing.T) { contractStress(t, c, n) })
	t.Run("limits", func(t *testing.T) { contractLimits(t, c, n) })
	t.Run("out of memory", func(t *testing.T) { contractOutOfMemory(t, c) })
	t.Run("loads", func(t *testing.T) { contractLoads(t, c, n) })
	t.Run("The node undoes itself", func(t *testing.T) { contractResourcesUndoThemselves(t, c, n) })
	t.Run("Recover from another process", func(t *testing.T) { contractResourcesRecover(t, c, n) })
	t.Run("Sabotage", func(t *testing.T) { contractResourcesSabotage(t, c, n) })
	mustReturn(t, c)
}

// usage is what the kernel counts for all processes of a node.
type usage struct {
	cpu               time.Duration
	memory, processes int64
	throttled         int64 // periods in which the node had to wait
}

// usageScript prints CPU time in nanoseconds, bytes, processes and throttled periods, all
// of the root of the node's control groups.
const usageScript = `cd /sys/fs/cgroup
if [ -d memory ]; then
  echo $(cat cpuacct/cpuacct.usage memory/memory.usage_in_bytes) $(find pids -name cgroup.procs | xargs cat | wc -l) \
    $(awk '$1 == "nr_throttled" { print $2 }' cpu/cpu.stat)
else
  echo $(awk '$1 == "usage_usec" { printf "%.0f", $2 * 1000 }' cpu.stat) $(cat memory.current pids.current) \
    $(awk '$1 == "nr_throttled" { print $2 }' cpu.stat)
fi`

func usageOf(t *testing.T, n *clusters.Node) (u usage) {
	t.Helper()
	out, err := n.Exec(t.Context(), "sh", "-c", usageScript)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(out), &u.cpu, &u.memory, &u.processes, &u.throttled); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	return u
}

// busy is how many CPUs the node uses within a second.
func busy(t *testing.T, n *clusters.Node) float64 {
	t.Helper()
	before, start := usageOf(t, n), time.Now()
	time.Sleep(time.Second)
	return (usageOf(t, n).cpu - before.cpu).Seconds() / time.Since(start).Seconds()
}

// healNode undoes faults twice, waits until all are healed and looks for leftovers.
func healNode(t *testing.T, c *clusters.Cluster, injections ...*Injection) {
	t.Helper()
	for _, i := range injections {
		if err := errors.Join(i.Undo(t.Context()), i.Undo(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range injections {
		healLive(t, c, i)
		at := i.Instants()
		t.Logf("%s: undone in %s, healed after %s", i.Fault, at.Undone.Sub(at.Undoing), at.Healed.Sub(at.Undoing))
		if _, err := i.Prove(t.Context()); err == nil {
			t.Errorf("%s is still proved after its undo", i.Fault)
		}
	}
	for _, i := range injections {
		eventually(t, "a clean node", 5*time.Second, i.Fault.parts[0].node.Vital(), clean)
	}
}

func contractStress(t *testing.T, c *clusters.Cluster, n *clusters.Node) {
	t.Run("CPU", func(t *testing.T) {
		before := busy(t, n)
		i := landLive(t, liveInjector(t, c), StressCPU(n, 2))
		// How much more depends on who else wants the machine.
		if got := busy(t, n); got < before+0.2 {
			t.Errorf("the node uses %.2f CPUs, %.2f before", got, before)
		} else {
			t.Logf("the node uses %.2f CPUs, %.2f before", got, before)
		}
		out, err := n.Exec(t.Context(), "systemctl", "show", "--property=ControlGroup", holdUnit(i.effects[0].id))
		if err != nil || !strings.Contains(string(out), "besteffort") {
			t.Errorf("it is not among the BestEffort pods: %s, %v", out, err)
		}
		healNode(t, c, i)
	})
	t.Run("memory", func(t *testing.T) {
		const bytes = 512 << 20
		before := usageOf(t, n)
		i := landLive(t, liveInjector(t, c), StressMemory(n, bytes))
		if got := usageOf(t, n).memory - before.memory; got < bytes*9/10 {
			t.Errorf("the node uses %d more bytes, want %d", got, bytes)
		}
		healNode(t, c, i)
		if got := usageOf(t, n).memory - before.memory; got > bytes/2 {
			t.Errorf("the node still uses %d more bytes", got)
		}
	})
	t.Run("PIDs", func(t *testing.T) {
		const count = 500
		before := usageOf(t, n)
		i := landLive(t, liveInjector(t, c), StressPIDs(n, count))
		if got := usageOf(t, n).processes - before.processes; got < count*9/10 {
			t.Errorf("the node has %d more processes, want %d", got, count)
		}
		healNode(t, c, i)
	})
}

func contractLimits(t *testing.T, c *clusters.Cluster, n *clusters.Node) {
	former, err := limitsOf(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	in := liveInjector(t, c)
	stressed := landLive(t, in, StressCPU(n, 2))
	before := usageOf(t, n)
	i := landLive(t, in, LimitNode(n, 0.5, before.memory+1<<30))
	if got := busy(t, n); got > 0.7 {
		t.Errorf("the node uses %.2f CPUs, want 0.5 at most", got)
	} else {
		t.Logf("the node uses %.2f CPUs", got)
	}
	if got := usageOf(t, n).throttled - before.throttled; got < 3 {
		t.Errorf("it had to wait in %d periods", got)
	}
	if err := i.Undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := busy(t, n); got < 0.7 {
		t.Errorf("after the undo the node uses %.2f CPUs", got)
	}
	healNode(t, c, i, stressed)
	if after, err := limitsOf(t.Context(), n); err != nil || max(0, after.CPUQuota) != max(0, former.CPUQuota) {
		t.Errorf("the limits were %+v and are %+v, %v", former, after, err)
	}
	out, err := n.Exec(t.Context(), command(kernelLimitsScript)...)
	if err != nil || strings.Join(strings.Fields(string(out)), " ") != "-1 9223372036854771712" {
		t.Errorf("the kernel has the limits %q, %v; want none", out, err)
	}
}

func contractOutOfMemory(t *testing.T, c *clusters.Cluster) {
	wanted := []clusters.Component{clusters.Etcd}
	if clustertest.Full() {
		wanted = components
	}
	for _, component := range wanted {
		t.Run(string(component), func(t *testing.T) {
			target := c.Instances(component)[0]
			steady(t, c, target)
			var before clusters.Container
			if component.Static() {
				before, _ = newestContainer(t.Context(), target)
			}
			i := landLive(t, liveInjector(t, c), OOMKill(target))
			if component.Static() {
				eventually(t, "a container that was killed for lack of memory", 10*time.Second, target, func(ctx context.Context, target clusters.Instance) error {
					return killedForMemory(ctx, target, before.ID)
				})
			}
			healNode(t, c, i)
			eventually(t, "an answer after the fault", healing(c), target, answers)
		})
	}
}

// killedForMemory asks the runtime why a container ended.
func killedForMemory(ctx context.Context, i clusters.Instance, container string) error {
	out, err := i.Node.Exec(ctx, "sh", "-c", `crictl inspect -o json "$1" | jq -r '"\(.status.reason) \(.status.exitCode)"'`, "sh", container)
	if said := strings.TrimSpace(string(out)); err == nil && said != "OOMKilled 137" {
		err = fmt.Errorf("the runtime says %q", said)
	}
	return err
}

func contractResourcesUndoThemselves(t *testing.T, c *clusters.Cluster, n *clusters.Node) {
	const ttl = 12 * time.Second
	in := liveInjector(t, c)
	all := []*Injection{
		landLive(t, in, StressCPU(n, 1).WithTTL(ttl)), landLive(t, in, EventStorm(n, 20).WithTTL(ttl)),
		landLive(t, in, LimitNode(n, 1, 0).WithTTL(ttl)),
	}
	eventually(t, "a clean node", time.Until(all[1].Deadline())+20*time.Second, n.Vital(), clean)
	t.Logf("the node had undone all %s after the last deadline", time.Since(all[2].Deadline()))
	if time.Now().Before(all[0].Instants().Armed.Add(ttl - 2*time.Second)) {
		t.Error("undone long before the deadline")
	}
	eventually(t, "no limit", time.Until(all[2].Deadline())+10*time.Second, n.Vital(), func(ctx context.Context, _ clusters.Instance) error {
		l, err := limitsOf(ctx, n)
		if err == nil && l.CPUQuota > 0 {
			err = fmt.Errorf("limits %+v", l)
		}
		return err
	})
	healNode(t, c, all...)
}

func contractResourcesRecover(t *testing.T, c *clusters.Cluster, n *clusters.Node) {
	dead := NewInjector(c, testJournal(t))
	landLive(t, dead, StressPIDs(n, 50))
	landLive(t, dead, FloodAPI(n, 10, 50))
	if err := dead.journal.Close(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	report, err := Recover(t.Context(), []string{dead.journal.Path()}, shellForCluster(c), &out)
	t.Log(out.String())
	if err != nil || len(report.Undone) != 2 {
		t.Errorf("%+v, %v", report, err)
	}
	eventually(t, "a clean node", 20*time.Second, n.Vital(), clean)
}

func contractResourcesSabotage(t *testing.T, c *clusters.Cluster, n *clusters.Node) {
	in := liveInjector(t, c)
	in.Sabotage.SkipInject = true
	scheduler := c.Instances(clusters.Scheduler)[0]
	faults := []Fault{
		StressCPU(n, 1), StressMemory(n, 64<<20), StressPIDs(n, 10), LimitNode(n, 1, 0), OOMKill(scheduler),
		FloodAPI(n, 10, 50), EventStorm(n, 10), BigLists(n, 10, 1), ChurnPods(n, 1),
	}
	for k := range faults {
		faults[k].parts[0].plan = hasty(faults[k].parts[0].plan)
	}
	err := each(faults, func(_ int, f Fault) error {
		if _, err := in.Inject(t.Context(), meant(f)); !errors.Is(err, ErrNotLanded) {
			return fmt.Errorf("a %s that does nothing: got %w, want ErrNotLanded", f.Kind, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	eventually(t, "a clean node", 5*time.Second, n.Vital(), clean)
}
