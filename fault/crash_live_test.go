package fault

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"faultline/clusters"
	"faultline/clusters/clustertest"
	"faultline/clusters/engine"
	"faultline/clusters/kind"
)

// What a process that is to be killed is told.
const (
	crashClusterVariable = "FAULTLINE_CRASH_CLUSTER" // a file with the cluster
	crashJournalVariable = "FAULTLINE_CRASH_JOURNAL" // the journal's directory
	crashSeedVariable    = "FAULTLINE_CRASH_SEED"
	crashRunsVariable    = "FAULTLINE_CRASHES" // how many, 100 if empty
)

// crashTTL is short, because half of the crashes are left to the nodes' own timers.
const crashTTL = 8 * time.Second

// crashLayouts are what crashes happen on, with how many of a hundred.
var crashLayouts = []struct {
	layout  clusters.Topology
	percent int
}{
	{diskLayout(), 60},
	{clusters.SingleHostMinimal(), 40},
}

// crashFaults are faults of every family that make sense on the cluster.
func crashFaults(c *clusters.Cluster, dice *rand.Rand) []Fault {
	etcd := c.EtcdMembers()[dice.IntN(len(c.EtcdMembers()))]
	all := []Fault{
		Kill(etcd), Terminate(etcd), Pause(etcd), HoldDown(etcd), CrashLoop(etcd),
		PowerOff(etcd.Node), Freeze(etcd.Node), Reboot(etcd.Node), Blackout(time.Second, etcd.Node).WithTTL(crashTTL),
		StressCPU(etcd.Node, 1), StressPIDs(etcd.Node, 50),
	}
	if etcd.Node.Disk != nil {
		all = append(all, FailDevice(etcd.Node, 0), FillDisk(etcd.Node, 1<<20), ThrottleDisk(etcd.Node, 256<<10), StallDisk(etcd.Node))
	}
	if neighbours := etcd.Node.Neighbours(); len(neighbours) > 0 {
		one := []*clusters.Node{etcd.Node}
		all = append(all, Isolate(etcd.Node), Partition(one, neighbours), OneWay(one, neighbours), Bandwidth(64<<10, etcd.Node),
			OnPort(PortEtcdPeer).Refusing().Partition(one, neighbours), Loss(30, one, neighbours), Delay(50*time.Millisecond, 0, one, neighbours),
			StopService(etcd), RaiseNoSpace(etcd), CorruptData(etcd, dice.Uint32()))
	}
	if c.Topology.Kubernetes() {
		scheduler, server := c.Instances(clusters.Scheduler)[0], c.Instances(clusters.APIServer)[0]
		all = append(all, Stop(scheduler), HoldDown(scheduler), CrashLoop(scheduler), Pause(server), Pause(c.Instances(clusters.Kubelet)[0]),
			StealLease(c, clusters.Scheduler), DeleteLease(c, clusters.ControllerManager), OOMKill(scheduler),
			ForeignCA(ServingCertificate, server), DeleteManifests(server.Node), FailClosedWebhook(c, "configmaps"),
			FloodAPI(server.Node, 10, 50), EventStorm(server.Node, 20), StopContainers(c.Instances(clusters.ContainerRuntime)...))
	}
	return all
}

// TestCrash kills a process at random moments while it breaks things. Afterwards recovery
// or, every other time, the nodes' own timers have to leave nothing in effect.
func TestCrash(t *testing.T) {
	clustertest.NeedFull(t)
	runs := 100
	if text := os.Getenv(crashRunsVariable); text != "" {
		var err error
		if runs, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", crashRunsVariable, err)
		}
	}
	seed := rand.Uint64()
	if text := os.Getenv("FAULTLINE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("FAULTLINE_SEED: %v", err)
		}
	}
	t.Logf("the same crashes again with FAULTLINE_SEED=%d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	for _, on := range crashLayouts {
		t.Run(on.layout.Name, func(t *testing.T) { crashOn(t, on.layout, max(1, runs*on.percent/100), dice) })
	}
}

func crashOn(t *testing.T, layout clusters.Topology, runs int, dice *rand.Rand) {
	c := clustertest.New(t, layout)
	if err := c.Remember(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	description := filepath.Join(t.TempDir(), "cluster.json")
	if err := os.WriteFile(description, text, 0o600); err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]int{}
	for n := range runs {
		moment := time.Duration(dice.IntN(2500)) * time.Millisecond
		journal := filepath.Join(t.TempDir(), "journal")
		kill(t, description, journal, dice.Uint64(), moment)
		records := openRecords(t, journal)
		way := "recovered"
		if n%2 == 1 {
			way = "undone by the nodes"
			awaitTimers(t, records)
		} else if _, err := Recover(t.Context(), []string{filepath.Join(journal, JournalName)}, shellForMachine(c), &strings.Builder{}); err != nil {
			t.Errorf("crash %d: recover: %v", n, err)
		}
		began := time.Now()
		if err := awaitAsNew(t.Context(), c); err != nil {
			t.Errorf("crash %d after %s in %v, %s: %v", n, moment, kindsOf(records), way, err)
			return // what follows would only tell the same
		}
		t.Logf("crash %d after %s in %v: %s, as new %.1f s later", n, moment, kindsOf(records), way, time.Since(began).Seconds())
		if len(records) == 0 {
			way = "nothing was in effect"
		}
		outcomes[way]++
	}
	t.Logf("%d crashes: %v", runs, outcomes)
}

// kill starts a process that breaks things, and kills it.
func kill(t *testing.T, description, journal string, seed uint64, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	cmd.Env = append(os.Environ(), crashClusterVariable+"="+description, crashJournalVariable+"="+journal, fmt.Sprintf("%s=%d", crashSeedVariable, seed))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "ready" {
		t.Log(lines.Text())
	}
	time.Sleep(after)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
}

// TestCrashChild is the process that is killed.
func TestCrashChild(t *testing.T) {
	description := os.Getenv(crashClusterVariable)
	if description == "" {
		t.Skip("for TestCrash only")
	}
	text, err := os.ReadFile(description)
	if err != nil {
		t.Fatal(err)
	}
	c := &clusters.Cluster{}
	if err := json.Unmarshal(text, c); err != nil {
		t.Fatal(err)
	}
	e, err := engine.Detect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Connect(kind.Shell(e)); err != nil {
		t.Fatal(err)
	}
	journal, err := OpenJournal(os.Getenv(crashJournalVariable))
	if err != nil {
		t.Fatal(err)
	}
	seed, err := strconv.ParseUint(os.Getenv(crashSeedVariable), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	dice := rand.New(rand.NewPCG(seed, 1))
	injector := NewInjector(c, journal)
	fmt.Println("ready")
	for {
		all := crashFaults(c, dice)
		i, err := injector.Inject(t.Context(), meant(all[dice.IntN(len(all))].WithTTL(crashTTL)))
		if err != nil {
			continue // what the fault before has left down
		}
		time.Sleep(time.Duration(dice.IntN(500)) * time.Millisecond)
		_ = i.Undo(t.Context())
	}
}

// openRecords are the faults that the journal has open.
func openRecords(t *testing.T, journal string) []Record {
	t.Helper()
	records, err := ReadJournal(filepath.Join(journal, JournalName))
	if err != nil {
		t.Fatal(err)
	}
	var open []Record
	for _, r := range records {
		if r.Open() {
			open = append(open, r)
		}
	}
	return open
}

func kindsOf(records []Record) []string {
	kinds := []string{}
	for _, r := range records {
		kinds = append(kinds, fmt.Sprintf("%s (%s)", r.Fault, r.State))
	}
	return kinds
}

// awaitTimers waits until every deadline is over.
func awaitTimers(t *testing.T, records []Record) {
	t.Helper()
	for _, r := range records {
		if wait := time.Until(r.Deadline.Add(time.Second)); wait > 0 && len(r.Undo) > 0 {
			time.Sleep(wait)
		}
	}
}

// awaitAsNew waits until nothing of a fault is left, on the nodes and on this machine.
func awaitAsNew(ctx context.Context, c *clusters.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, healing(c))
	defer cancel()
	return clusters.Await(ctx, 500*time.Millisecond, "a cluster as good as new", func(ctx context.Context) error {
		left, _ := filepath.Glob("/tmp/faultline-undo-*")
		if len(left) > 0 {
			return fmt.Errorf("left on this machine: %v", left)
		}
		return c.CheckAsNew(ctx)
	})
}

// shellForMachine is shellForCluster with this machine.
func shellForMachine(c *clusters.Cluster) ShellFor {
	nodes := shellForCluster(c)
	return func(ctx context.Context, cluster, node string) (clusters.Shell, error) {
		if node == clusters.ThisMachineName {
			return clusters.LocalShell, nil
		}
		return nodes(ctx, cluster, node)
	}
}

// TestCrashNoticesWhatIsLeft: the judgement of TestCrash turns red.
func TestCrashNoticesWhatIsLeft(t *testing.T) {
	clustertest.NeedFull(t)
	c := clustertest.New(t, clusters.BareEtcd(1))
	if err := c.Remember(t.Context()); err != nil {
		t.Fatal(err)
	}
	i := landLive(t, liveInjector(t, c), Pause(c.EtcdMembers()...))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := awaitAsNew(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a cluster with a paused etcd is as good as new: %v", err)
	}
	if err := errors.Join(i.Undo(t.Context()), awaitAsNew(t.Context(), c)); err != nil {
		t.Error(err)
	}
}
