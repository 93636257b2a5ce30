package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"faultline/clusters"
	"faultline/clusters/clustertest"
)

// connect attempts a connection from a node to a port of another, with curl, and returns
// curl's status: 7 is refused, 28 a time-out, and anything else means that somebody speaks.
func connect(t *testing.T, from, to *clusters.Node, port int) string {
	t.Helper()
	out, err := from.Exec(t.Context(), "sh", "-c", `curl -sk -o /dev/null --connect-timeout 1 -m 15 "https://$1:$2/"; echo $?`, "sh", to.Address, strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

const (
	curlRefused = "7"
	curlTimeout = "28"
)

// mustConnect says how a connection should end: one of curl's statuses, or "answered".
func mustConnect(t *testing.T, from, to *clusters.Node, port int, want string) {
	t.Helper()
	got := connect(t, from, to, port)
	if answered := got != curlRefused && got != curlTimeout; want == "answered" && !answered || want != "answered" && got != want {
		t.Errorf("from %s to port %d of %s: curl's status %s, want %s", from.Name, port, to.Name, got, want)
	}
}

// roundTrip is how long the kernel of one node takes to answer another's.
func roundTrip(t *testing.T, from, to *clusters.Node) time.Duration {
	t.Helper()
	out, err := from.Exec(t.Context(), "curl", "-sk", "-o", "/dev/null", "-m", "5", "-w", "%{time_connect}", "https://"+to.Address+":2379/")
	seconds, parsed := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if parsed != nil {
		t.Fatalf("%q, %v", out, errors.Join(err, parsed))
	}
	return time.Duration(seconds * float64(time.Second))
}

// leads asks a member for its leader, 0 for none.
func leads(ctx context.Context, c *clusters.Cluster, i clusters.Instance) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	status, err := c.EtcdStatus(ctx, i)
	return status.Leader, err
}

func mustLead(t *testing.T, c *clusters.Cluster, i clusters.Instance, want bool) {
	t.Helper()
	what := map[bool]string{true: "a leader", false: "no leader"}[want]
	eventually(t, what, 20*time.Second, i, func(ctx context.Context, i clusters.Instance) error {
		leader, err := leads(ctx, c, i)
		if err == nil && (leader != 0) != want {
			err = fmt.Errorf("its leader is %x, want %s", leader, what)
		}
		return err
	})
}

// healNetwork undoes a fault twice, waits for healing and looks for leftovers.
func healNetwork(t *testing.T, i *Injection) {
	t.Helper()
	undoTwice(t, i, time.Minute)
	mustBeUnfiltered(t, i.Fault)
}

func mustBeUnfiltered(t *testing.T, f Fault) {
	t.Helper()
	for _, p := range f.parts {
		eventually(t, "a clean node", 20*time.Second, clusters.Instance{Component: clusters.Etcd, Node: p.node}, unfiltered)
	}
}

// unfiltered says that nothing of a network fault is on the node.
func unfiltered(ctx context.Context, i clusters.Instance) error {
	if err := unarmed(ctx, i); err != nil {
		return err
	}
	out, err := i.Node.Exec(ctx, "sh", "-c", `iptables-save 2>/dev/null | grep -v 'FAULTLINE-MASQ\|FAULTLINE-EGRESS' | grep FAULTLINE
tc qdisc show dev eth0 | grep tbf
true`)
	if left := strings.TrimSpace(string(out)); err == nil && left != "" {
		err = fmt.Errorf("left on %s: %s", i.Node.Name, left)
	}
	return err
}

// TestNetworkContract breaks the network of three etcd servers in every way and judges by
// what etcd, and others on the network, see. FAULTLINE_CONTRACT=full adds variants.
func TestNetworkContract(t *testing.T) {
	if os.Getenv("FAULTLINE_LIVE_TESTS") == "" {
		t.Skip("set FAULTLINE_LIVE_TESTS=1 to break a real network")
	}
	c := clustertest.New(t, clusters.BareEtcd(3))
	if err := c.Remember(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, *clusters.Cluster)
	}{
		{"partition", contractPartition},
		{"a refused port", contractRefusedPort},
		{"one way", contractOneWay},
		{"isolate", contractIsolate},
		{"closed ports", contractClose},
		{"loss", contractLoss},
		{"delay", contractDelay},
		{"bandwidth", contractBandwidth},
		{"several at once", contractSeveralOnTheNetwork},
		{"the node undoes it itself", contractNetworkTimers},
		{"recover from another process", contractNetworkRecover},
		{"sabotage", contractNetworkSabotage},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, c) })
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := clusters.Await(ctx, time.Second, "a cluster as new", c.CheckAsNew); err != nil {
		t.Error(err)
	}
}

func contractPartition(t *testing.T, c *clusters.Cluster) {
	members := c.EtcdMembers()
	one, rest := c.Nodes[0], c.Nodes[1:]
	i := landLive(t, liveInjector(t, c), Partition([]*clusters.Node{one}, rest))
	mustConnect(t, one, rest[0], 2379, curlTimeout)
	mustConnect(t, rest[1], one, 2379, curlTimeout)
	mustConnect(t, rest[0], rest[1], 2379, "answered")
	mustLead(t, c, members[0], false)
	mustLead(t, c, members[1], true)
	healNetwork(t, i)
	mustConnect(t, one, rest[0], 2379, "answered")
	mustLead(t, c, members[0], true)
}

func contractRefusedPort(t *testing.T, c *clusters.Cluster) {
	one, two, three := c.Nodes[0], c.Nodes[1], c.Nodes[2]
	i := landLive(t, liveInjector(t, c), OnPort(PortEtcdPeer).Refusing().Partition([]*clusters.Node{one}, []*clusters.Node{two, three}))
	mustConnect(t, one, two, PortEtcdPeer, curlRefused)
	mustConnect(t, two, one, PortEtcdPeer, curlRefused)
	mustConnect(t, one, two, PortEtcdClient, "answered")
	mustLead(t, c, c.EtcdMembers()[0], false) // established connections are hit
	healNetwork(t, i)
	mustConnect(t, two, one, PortEtcdPeer, "answered")
	mustLead(t, c, c.EtcdMembers()[0], true)
}

// contractOneWay tells the direction by datagrams, which need no answer.
func contractOneWay(t *testing.T, c *clusters.Cluster) {
	one, two := c.Nodes[0], c.Nodes[1]
	i := landLive(t, liveInjector(t, c), OneWay([]*clusters.Node{one}, []*clusters.Node{two}))
	for _, test := range []struct {
		from, to *clusters.Node
		arrives  bool
	}{{one, two, false}, {two, one, true}} {
		before := datagrams(t, test.to)
		_, err := test.from.Exec(t.Context(), "bash", "-c", `for n in 1 2 3 4 5; do echo x > "/dev/udp/$0/9"; sleep 0.05; done 2>/dev/null; true`, test.to.Address)
		if arrived := datagrams(t, test.to) > before; err != nil || arrived != test.arrives {
			t.Errorf("datagrams from %s to %s arrive: %t, want %t (%v)", test.from.Name, test.to.Name, arrived, test.arrives, err)
		}
	}
	healNetwork(t, i)
	mustConnect(t, one, two, 2379, "answered")
}

// datagrams is how many the kernel of a node got for ports that nobody listens on.
func datagrams(t *testing.T, n *clusters.Node) int {
	t.Helper()
	out, err := n.Exec(t.Context(), "awk", `/^Udp: [0-9]/ { print $3 }`, "/proc/net/snmp")
	count, parsed := strconv.Atoi(strings.TrimSpace(string(out)))
	if err := errors.Join(err, parsed); err != nil {
		t.Fatal(err)
	}
	return count
}

func contractIsolate(t *testing.T, c *clusters.Cluster) {
	members := c.EtcdMembers()
	leader, err := c.Leader(t.Context(), clusters.Etcd)
	if err != nil {
		t.Fatal(err)
	}
	others := members.Except(leader)
	i := landLive(t, liveInjector(t, c), Isolate(leader.Node))
	mustConnect(t, leader.Node, others[0].Node, 2379, curlTimeout)
	mustConnect(t, others[1].Node, leader.Node, 2379, curlTimeout)
	mustLead(t, c, leader, false) // this machine is not cut off
	eventually(t, "another leader", 20*time.Second, others[0], func(ctx context.Context, other clusters.Instance) error {
		status, err := c.EtcdStatus(ctx, other)
		if now, found := c.Leader(ctx, clusters.Etcd); err == nil && (status.Leader == 0 || found != nil || now == leader) {
			err = fmt.Errorf("its leader is %x: %v, %w", status.Leader, now, errors.Join(found, errors.New("no other leads")))
		}
		return err
	})
	healNetwork(t, i)
	mustLead(t, c, leader, true)

	// Nodes that are isolated together reach each other.
	two := i.Fault.parts[0].node
	both := []*clusters.Node{two, others[0].Node}
	i = landLive(t, liveInjector(t, c), Refusing().Isolate(both...))
	mustConnect(t, both[0], both[1], 2379, "answered")
	mustConnect(t, others[1].Node, both[0], 2379, curlRefused)
	mustConnect(t, both[0], others[1].Node, 2379, curlRefused)
	mustLead(t, c, others[1], false)
	healNetwork(t, i)
}

func contractClose(t *testing.T, c *clusters.Cluster) {
	one, two := c.Nodes[0], c.Nodes[1]
	for want, packets := range map[string]Packets{curlTimeout: OnPort(PortEtcdClient), curlRefused: OnPort(PortEtcdClient).Refusing()} {
		i := landLive(t, liveInjector(t, c), packets.Close(one))
		mustConnect(t, two, one, PortEtcdClient, want)
		mustConnect(t, clusters.ThisMachine(), one, PortEtcdClient, want)
		mustConnect(t, one, one, PortEtcdClient, "answered")
		mustConnect(t, two, one, PortEtcdPeer, "answered")
		healNetwork(t, i)
		mustConnect(t, clusters.ThisMachine(), one, PortEtcdClient, "answered")
	}
}

// contractLoss counts datagrams that arrive.
func contractLoss(t *testing.T, c *clusters.Cluster) {
	one, two := c.Nodes[0], c.Nodes[1]
	i := landLive(t, liveInjector(t, c), Loss(40, []*clusters.Node{one}, []*clusters.Node{two}))
	const sent = 200
	before := datagrams(t, two)
	if _, err := one.Exec(t.Context(), "bash", "-c", `for n in $(seq "$1"); do echo x > "/dev/udp/$0/9"; done 2>/dev/null; true`, two.Address, strconv.Itoa(sent)); err != nil {
		t.Error(err)
	}
	if arrived := datagrams(t, two) - before; arrived < sent*45/100 || arrived > sent*75/100 {
		t.Errorf("%d of %d datagrams arrived, want about 60 %%", arrived, sent)
	} else {
		t.Logf("%d of %d datagrams arrived", arrived, sent)
	}
	healNetwork(t, i)
	mustLead(t, c, c.EtcdMembers()[0], true)
}

func contractDelay(t *testing.T, c *clusters.Cluster) {
	one, two, three := c.Nodes[0], c.Nodes[1], c.Nodes[2]
	i := landLive(t, liveInjector(t, c), Delay(100*time.Millisecond, 20*time.Millisecond, []*clusters.Node{one}, []*clusters.Node{two}))
	if took := roundTrip(t, one, two); took < 200*time.Millisecond || took > 600*time.Millisecond {
		t.Errorf("a round trip took %s, want at least 200ms", took)
	} else {
		t.Logf("a round trip took %s", took)
	}
	if took := roundTrip(t, one, three); took > 100*time.Millisecond {
		t.Errorf("a round trip to another node took %s", took)
	}
	healNetwork(t, i)
	if took := roundTrip(t, one, two); took > 100*time.Millisecond {
		t.Errorf("a round trip after the undo took %s", took)
	}
}

// contractBandwidth times what another node receives.
func contractBandwidth(t *testing.T, c *clusters.Cluster) {
	one, two := c.Nodes[0], c.Nodes[1]
	const rate, bytes = 512 << 10, 2 << 20
	i := landLive(t, liveInjector(t, c), Bandwidth(rate, one))
	before, start := received(t, two), time.Now()
	if _, err := one.Exec(t.Context(), "bash", "-c", `timeout 2 dd if=/dev/zero bs=1400 > "/dev/udp/$0/9" 2>/dev/null || true
while timeout 2 dd if=/dev/zero bs=1400 count=500 > "/dev/udp/$0/9" 2>/dev/null; [ $((n += 1)) -lt 200 ]; do :; done`, two.Address); err != nil {
		t.Error(err)
	}
	got, took := received(t, two)-before, time.Since(start)
	if most := int64(float64(rate)*took.Seconds()*1.2) + burstOf(rate); got > most {
		t.Errorf("%d bytes arrived in %s, want at most %d", got, took, most)
	}
	t.Logf("%d bytes arrived in %s", got, took)
	healNetwork(t, i)
	before, start = received(t, two), time.Now()
	if _, err := one.Exec(t.Context(), "bash", "-c", `timeout 5 dd if=/dev/zero bs=1400 count=$1 > "/dev/udp/224.0.0.251/9"`, "bash", strconv.Itoa(bytes/1400)); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > bytes/rate*time.Second/2 {
		t.Errorf("after the undo, %d bytes took %s", received(t, two)-before, took)
	}
}

// received is how many bytes have come to a node.
func received(t *testing.T, n *clusters.Node) int64 {
	t.Helper()
	out, err := n.Exec(t.Context(), "cat", "/sys/class/net/eth0/statistics/rx_bytes")
	count, parsed := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err := errors.Join(err, parsed); err != nil {
		t.Fatal(err)
	}
	return count
}

// contractSeveralOnTheNetwork composes two faults whose rules are on the same nodes.
func contractSeveralOnTheNetwork(t *testing.T, c *clusters.Cluster) {
	one, two, three := c.Nodes[:1], c.Nodes[1:2], c.Nodes[2:]
	i := landLive(t, liveInjector(t, c), Together(Partition(one, two), OnPort(PortEtcdClient).Refusing().Partition(one, three)))
	mustConnect(t, one[0], two[0], PortEtcdPeer, curlTimeout)
	mustConnect(t, one[0], three[0], PortEtcdClient, curlRefused)
	mustConnect(t, one[0], three[0], PortEtcdPeer, "answered")
	healNetwork(t, i)
	mustConnect(t, one[0], two[0], PortEtcdClient, "answered")
}

func contractNetworkTimers(t *testing.T, c *clusters.Cluster) {
	one, two := []*clusters.Node{c.Nodes[0]}, []*clusters.Node{c.Nodes[1]}
	faults := []Fault{Delay(50*time.Millisecond, 0, one, two)}
	if clustertest.Full() {
		faults = append(faults, Partition(one, two), Refusing().Isolate(one...), Bandwidth(1<<20, one...))
	}
	for _, f := range faults {
		i := landLive(t, liveInjector(t, c), f.WithTTL(8*time.Second))
		within := time.Until(i.Deadline()) + 20*time.Second
		for _, p := range f.parts {
			eventually(t, "a clean node after "+f.String(), within, clusters.Instance{Component: clusters.Etcd, Node: p.node}, unfiltered)
		}
		if time.Now().Before(i.Deadline().Add(-2 * time.Second)) {
			t.Errorf("%s was undone long before the deadline", f)
		}
		t.Logf("%s: the nodes had undone it %s after the deadline", f, time.Since(i.Deadline()))
		healNetwork(t, i)
	}
}

func contractNetworkRecover(t *testing.T, c *clusters.Cluster) {
	one, rest := []*clusters.Node{c.Nodes[0]}, c.Nodes[1:]
	faults := []Fault{Isolate(one...)}
	if clustertest.Full() {
		faults = append(faults, Delay(50*time.Millisecond, 0, one, rest), Bandwidth(1<<20, one...))
	}
	for _, f := range faults {
		dead := NewInjector(c, testJournal(t))
		landLive(t, dead, f)
		if err := dead.journal.Close(); err != nil {
			t.Fatal(err)
		}
		report, err := Recover(t.Context(), []string{dead.journal.Path()}, shellForCluster(c), io.Discard)
		if err != nil || len(report.Undone) != len(f.parts) {
			t.Errorf("%+v, %v", report, err)
		}
		mustBeUnfiltered(t, f)
		mustConnect(t, one[0], rest[0], 2379, "answered")
	}
}

func contractNetworkSabotage(t *testing.T, c *clusters.Cluster) {
	one, rest := []*clusters.Node{c.Nodes[0]}, c.Nodes[1:]
	for _, f := range []Fault{
		Partition(one, rest), OneWay(one, rest), Isolate(one...), OnPort(2379).Close(one...), Loss(20, one, rest),
		Delay(50*time.Millisecond, 0, one, rest), Bandwidth(1<<20, one...),
	} {
		in := liveInjector(t, c)
		in.Sabotage.SkipInject = true
		hurry(f, time.Second)
		if _, err := in.Inject(t.Context(), meant(f)); !errors.Is(err, ErrNotLanded) {
			t.Errorf("a %s that does nothing: got %v, want ErrNotLanded", f.Kind, err)
		}
		mustBeUnfiltered(t, f)
	}
	apart := Partition(one, slices.Clone(rest))
	skippedUndoIsNotHealed(t, c, apart)
	mustBeUnfiltered(t, apart)
}

// TestNetworkUnderAControlPlane breaks the network of a whole Kubernetes: pods are cut off
// with their nodes, and kind's load balancer dies.
func TestNetworkUnderAControlPlane(t *testing.T) {
	clustertest.NeedFull(t)
	c := clustertest.New(t, clusters.TwoHostSplitMasters())
	if err := c.Remember(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Run("pods", func(t *testing.T) { contractPods(t, c) })
	t.Run("dead balancer", func(t *testing.T) { contractDeadBalancer(t, c) })
	t.Run("reboot of a master", func(t *testing.T) { contractRebootMaster(t, c) })
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	if err := clusters.Await(ctx, time.Second, "a cluster as new", c.CheckAsNew); err != nil {
		t.Error(err)
	}
}

// contractPods asks a pod from the other node, whose address no rule but that of the pods'
// network names.
func contractPods(t *testing.T, c *clusters.Cluster) {
	masters := c.With(clusters.ControlPlane)
	client, err := c.Client(c.APIServers()[0])
	if err != nil {
		t.Fatal(err)
	}
	pods, err := client.CoreV1().Pods("kube-system").List(t.Context(), metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"})
	if err != nil || len(pods.Items) == 0 {
		t.Fatalf("%d DNS servers, %v", len(pods.Items), err)
	}
	pod := pods.Items[0]
	there, here := masters[0], masters[1]
	if pod.Spec.NodeName != there.Name {
		there, here = here, there
	}
	ask := func() string {
		out, err := here.Exec(t.Context(), "sh", "-c", `curl -s -o /dev/null -m 1 "http://$1:8080/health"; echo $?`, "sh", pod.Status.PodIP)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	if got := ask(); got != "0" {
		t.Fatalf("before the fault: curl's status %s", got)
	}
	for want, f := range map[string]Fault{
		curlTimeout: Partition([]*clusters.Node{here}, []*clusters.Node{there}),
		curlRefused: Refusing().Partition([]*clusters.Node{here}, []*clusters.Node{there}),
	} {
		i := landLive(t, liveInjector(t, c), f)
		if got := ask(); got != want {
			t.Errorf("%s: curl's status %s, want %s", f, got, want)
		}
		mustConnect(t, clusters.ThisMachine(), here, PortAPI, "answered")
		healNetwork(t, i)
		if got := ask(); got != "0" {
			t.Errorf("after %s: curl's status %s", f, got)
		}
	}
	i := landLive(t, liveInjector(t, c), Isolate(there))
	if got := ask(); got != curlTimeout {
		t.Errorf("isolated: curl's status %s", got)
	}
	mustConnect(t, there, c.Forwarder, PortAPI, curlTimeout)
	mustConnect(t, clusters.ThisMachine(), there, PortAPI, "answered")
	healNetwork(t, i)
	if got := ask(); got != "0" {
		t.Errorf("after the isolation: curl's status %s", got)
	}
}

func contractDeadBalancer(t *testing.T, c *clusters.Cluster) {
	i := landLive(t, liveInjector(t, c), PowerOff(c.Forwarder))
	if err := dial(c.Forwarder, PortAPI); err == nil {
		t.Error("it answers")
	}
	healHost(t, i)
	eventually(t, "the balancer", time.Minute, c.EtcdMembers()[0], func(ctx context.Context, _ clusters.Instance) error { return ready(ctx, c) })
}

func contractRebootMaster(t *testing.T, c *clusters.Cluster) {
	master := c.With(clusters.ControlPlane)[1]
	i := landLive(t, liveInjector(t, c), Reboot(master))
	healHost(t, i)
	eventually(t, "the API server", healing(c), c.Instances(clusters.APIServer)[1], answers)
}
