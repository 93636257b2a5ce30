package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"faultline/clusters"
)

// wire is three nodes and the network between them, in memory: it knows the rules by
// their text, and does to connections what they say.
type wire struct {
	*model
	mu      sync.Mutex
	rules   map[string]map[string]string // node, chain
	counted map[string]int               // node, label
	lacks   string                       // of the kernel
	device  string                       // that has a node's address; empty: none has
	lie     bool                         // rules count and do nothing
}

func newWire(t *testing.T) (*wire, *clusters.Cluster) {
	t.Helper()
	w := &wire{model: newModel(), rules: map[string]map[string]string{}, counted: map[string]int{}, device: "eth0"}
	c := modelCluster(t, w.shell)
	for n, node := range c.Nodes {
		node.Address = fmt.Sprintf("10.0.0.%d", n+1)
		w.rules[node.Name] = map[string]string{}
	}
	return w, c
}

const wireRoutes = `default via 10.0.0.254 dev eth0
10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.1
10.244.2.0/24 via 10.0.0.2 dev eth0 proto 93
10.244.3.0/24 via 10.0.0.3 dev eth0
blackhole 10.244.1.0/24
`

func (w *wire) shell(ctx context.Context, node string, in io.Reader, argv ...string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case argv[0] == "ip" && slices.Contains(argv, "address"):
		if w.device == "" {
			return nil, nil
		}
		return fmt.Appendf(nil, "2: %[1]s    inet %[2]s/24 brd 10.0.0.255 scope global %[1]s\\       valid_lft forever preferred_lft forever\n", w.device, argv[len(argv)-1]), nil
	case argv[0] == "ip":
		return []byte(wireRoutes), nil
	case argv[0] == "iptables":
		return w.list(node, argv)
	case argv[0] != "sh":
		return w.model.shell(ctx, node, in, argv...)
	}
	args := argv[4:]
	switch argv[2] {
	case tryScript:
		return []byte(w.lacks), nil
	case filterScript:
		_, chain, _ := strings.Cut(args[1], "\n:")
		chain, _, _ = strings.Cut(chain, " ")
		w.rules[node][chain] = args[1]
	case unfilterScript:
		delete(w.rules[node], args[1])
		w.model.mu.Lock()
		w.model.nodes[node].leave(args[0])
		w.model.mu.Unlock()
	case probeScript:
		return w.probe(node, args[2:]), nil
	default:
		return w.model.shell(ctx, node, in, argv...)
	}
	return nil, nil
}

// list is iptables' list of one chain or of all.
func (w *wire) list(node string, argv []string) ([]byte, error) {
	n := slices.Index(argv, "--list-rules") + 1
	if n == len(argv) {
		return []byte(strings.Join(slices.Collect(maps.Keys(w.rules[node])), "\n")), nil
	}
	rules, ok := w.rules[node][argv[n]]
	if !ok {
		return nil, errors.New("No chain/target/match by that name")
	}
	var out strings.Builder
	for line := range strings.Lines(rules) {
		if before, after, ok := strings.Cut(line, "--comment "); ok {
			label, rest, _ := strings.Cut(strings.TrimSpace(after), " ")
			fmt.Fprintf(&out, "%s--comment %s -c %d 60 %s\n", before, label, w.counted[node+label], rest)
		}
	}
	return []byte(out.String()), nil
}

// probe sends a packet each way and says what comes of it.
func (w *wire) probe(from string, to []string) []byte {
	var out strings.Builder
	for _, address := range to {
		other := "n" + address[len(address)-1:]
		result := refusal
		for _, way := range []struct{ node, peer, label string }{
			{from, other, labelOut}, {other, from, labelIn}, {other, from, labelClosed}, {other, from, from}, {from, other, other},
		} {
			for _, rules := range w.rules[way.node] {
				if !strings.Contains(rules, "--comment "+way.label+" ") || strings.Contains(rules, "-d 10.0.0."+way.peer[1:]+" -j RETURN") {
					continue
				}
				w.counted[way.node+way.label]++
				w.counted[way.node+passing(way.label)] += 3 // a third is lost
				if !w.lie {
					result = timedOut
				}
				if strings.Contains(rules, "REJECT") {
					result = refusal
				}
			}
		}
		fmt.Fprintln(&out, address, result, 250)
	}
	return []byte(out.String())
}

func (w *wire) unfiltered(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for node, chains := range w.rules {
		for chain := range chains {
			t.Errorf("left on %s: %s", node, chain)
		}
	}
}

// networkFaults are every fault that drops packets, for the first node.
func networkFaults(c *clusters.Cluster) []Fault {
	one, rest := c.Nodes[:1], c.Nodes[1:]
	return []Fault{
		Partition(one, rest), OneWay(rest, one), OnPort(2380).Partition(one, rest), Isolate(one...), Isolate(c.Nodes[:2]...),
		OnPort(6443).Close(one...), Loss(33, one, rest), Together(Partition(one, rest[:1]), OneWay(rest[1:], one)),
	}
}

func TestNetworkFaultsLandAreUndoneAndHeal(t *testing.T) {
	for k := range networkFaults(&clusters.Cluster{Nodes: make([]*clusters.Node, 3)}) {
		synctest.Test(t, func(t *testing.T) {
			w, c := newWire(t)
			f := networkFaults(c)[k]
			if strings.Contains(f.String(), "6443") {
				t.Skip("it sends from this machine")
			}
			in := NewInjector(c, testJournal(t))
			i, err := in.Inject(t.Context(), meant(f))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(i.Undo(t.Context()), i.Undo(t.Context()), i.AwaitHealed(t.Context())); err != nil {
				t.Errorf("%s: %v", f, err)
			}
			w.unfiltered(t)
		})
	}
}

func TestNetworkFaultsThatDoNothingHaveNotLanded(t *testing.T) {
	for name, sabotage := range map[string]func(*wire, *Injector){
		"nothing is done":       func(_ *wire, in *Injector) { in.Sabotage.SkipInject = true },
		"rules that only count": func(w *wire, _ *Injector) { w.lie = true },
	} {
		t.Run(name, func(t *testing.T) {
			for k := range 5 {
				synctest.Test(t, func(t *testing.T) {
					w, c := newWire(t)
					in := NewInjector(c, testJournal(t))
					sabotage(w, in)
					f := networkFaults(c)[k]
					if _, err := in.Inject(t.Context(), meant(f)); !errors.Is(err, ErrNotLanded) {
						t.Errorf("%s: got %v, want ErrNotLanded", f, err)
					}
					w.unfiltered(t)
				})
			}
		})
	}
}

func TestANetworkThatIsNotUndoneIsNotHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWire(t)
		in := NewInjector(c, testJournal(t))
		in.Sabotage.SkipUndo = true
		i, err := in.Inject(t.Context(), Partition(c.Nodes[:1], c.Nodes[1:]))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := errors.Join(i.Undo(t.Context()), i.AwaitHealed(ctx)); err == nil || !strings.Contains(err.Error(), "still has the chain") {
			t.Errorf("got %v", err)
		}
		if err := in.Restore(t.Context()); err != nil {
			t.Error(err)
		}
		w.unfiltered(t)
	})
}

func TestNetworkFaultsRefuseWhatMakesNoSense(t *testing.T) {
	w, c := newWire(t)
	_, other := newWire(t)
	one, rest := c.Nodes[:1], c.Nodes[1:]
	lone := &clusters.Node{Name: "n1", Address: "10.0.0.1"}
	(&clusters.Cluster{Nodes: []*clusters.Node{lone}}).Reach(w.shell)
	for _, test := range []struct {
		name  string
		fault Fault
		want  string
	}{
		{"an empty side", Partition(one, nil), "no target"},
		{"another empty side", Partition(nil, rest), "no target"},
		{"a missing node", OneWay(one, []*clusters.Node{nil}), "has no node"},
		{"a missing isolated node", Isolate(nil), "has no node"},
		{"both sides", Partition(one, c.Nodes), "n1 is on both sides"},
		{"another cluster", OneWay(other.Nodes[1:2], one), "n2 is not in the cluster of n1"},
		{"nobody else", Isolate(lone), "n1 has no other node"},
		{"all together", Isolate(c.Nodes...), "has no other node"},
		{"port 0", OnPort(0).Isolate(one...), "no port 0"},
		{"port 65536", OnPort(65536).Partition(one, rest), "no port 65536"},
		{"too many ports", OnPort(make([]int, 16)...).Partition(one, rest), "16 ports are too many"},
		{"no port to close", Packets{}.Close(one...), "name the ports"},
		{"no loss", Loss(0, one, rest), "a loss of 0 %"},
		{"a negative loss", Loss(-3, one, rest), "a loss of -3 %"},
		{"a whole loss", Loss(100, one, rest), "a loss of all is a partition"},
		{"no delay", Delay(0, 0, one, rest), "a latency of 0s"},
		{"a negative jitter", Delay(time.Second, -time.Second, one, rest), "out of range"},
		{"a long delay", Delay(9*time.Second, 2*time.Second, one, rest), "out of range"},
		{"a small bandwidth", Bandwidth(1, one...), "a bandwidth of 1 bytes"},
		{"a large bandwidth", Bandwidth(1<<40, one...), "out of range"},
		{"a missing link", Bandwidth(1<<20, nil), "has no node"},
	} {
		if err := test.fault.Available(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
	w.lacks = "RULE_APPEND failed"
	if err := Loss(10, one, rest).Available(t.Context()); !errors.Is(err, clusters.ErrUnsupported) || !strings.Contains(err.Error(), "RULE_APPEND") {
		t.Errorf("a kernel without a match: got %v", err)
	}
	w.lacks = ""
	for _, w.device = range []string{"", "lo"} {
		for _, f := range []Fault{Isolate(one...), Partition(one, rest), Delay(time.Second, 0, one, rest), Bandwidth(1<<20, one...)} {
			if err := f.Available(t.Context()); !errors.Is(err, clusters.ErrUnsupported) || !strings.Contains(err.Error(), "no network device of n") {
				t.Errorf("%s with an address on the device %q: got %v", f, w.device, err)
			}
		}
	}
	w.device = "eth0"
	forwarder := &clusters.Node{Name: "lb", Enter: []string{"true"}}
	for _, f := range []Fault{OnPort(PortAPI).Close(forwarder), Bandwidth(1<<20, forwarder)} {
		if err := f.Available(t.Context()); !errors.Is(err, clusters.ErrUnsupported) {
			t.Errorf("%s, kind's load balancer: got %v", f, err)
		}
	}
	c.Nodes[1].Address = "fc00::2"
	if err := Partition(one, rest).Available(t.Context()); !errors.Is(err, clusters.ErrUnsupported) {
		t.Errorf("IPv6: got %v", err)
	}
	w.unfiltered(t)
	if len(w.changes()) > 0 {
		t.Errorf("changed %v", w.changes())
	}
}

func TestTheGuardKnowsWhoIsOutvoted(t *testing.T) {
	_, c := newWire(t)
	n := c.Nodes
	set := func(nodes ...*clusters.Node) []*clusters.Node { return nodes }
	for _, test := range []struct {
		fault Fault
		etcd  string // that is taken
		api   string
	}{
		{Partition(set(n[0]), set(n[1], n[2])), "n1", ""},
		{Partition(set(n[0], n[1]), set(n[2])), "n3", ""},
		{Partition(set(n[0]), set(n[1])), "", ""}, // both reach the third
		{OneWay(set(n[0]), set(n[1], n[2])), "n1", ""},
		{OneWay(set(n[1], n[2]), set(n[0])), "n1", ""},
		{OnPort(PortEtcdPeer).Partition(set(n[0]), set(n[1], n[2])), "n1", ""},
		{OnPort(PortAPI).Partition(set(n[0]), set(n[1], n[2])), "", ""},
		{Loss(90, set(n[0]), set(n[1], n[2])), "", ""},
		{Delay(time.Second, 0, set(n[0]), set(n[1], n[2])), "", ""},
		{Bandwidth(1<<20, n...), "", ""},
		{Isolate(n[0]), "n1", "n1"},
		{Isolate(n[0], n[1]), "n1 n2 n3", "n1 n2"}, // the third has no majority
		{OnPort(PortAPI).Isolate(n[0]), "", "n1"},
		{OnPort(PortEtcdPeer).Isolate(n[0]), "n1", ""},
		{OnPort(PortAPI).Close(n[0], n[2]), "", "n1 n3"},
	} {
		taken := map[clusters.Component][]string{}
		for _, p := range test.fault.parts {
			if p.takes == nil {
				continue
			}
			for _, i := range p.takes(c) {
				if !slices.Contains(taken[i.Component], i.Node.Name) {
					taken[i.Component] = append(taken[i.Component], i.Node.Name)
				}
			}
		}
		for component, want := range map[clusters.Component]string{clusters.Etcd: test.etcd, clusters.APIServer: test.api} {
			slices.Sort(taken[component])
			if got := strings.Join(taken[component], " "); got != want {
				t.Errorf("%s takes %s on %q, want %q", test.fault, component, got, want)
			}
		}
	}
}

func TestAnUnintendedPartitionIsRefused(t *testing.T) {
	w, c := newWire(t)
	in := NewInjector(c, testJournal(t))
	_, err := in.Inject(t.Context(), Isolate(c.Nodes[:2]...))
	if err == nil || !strings.Contains(err.Error(), `.Losing("etcd")`) {
		t.Errorf("got %v", err)
	}
	w.unfiltered(t)
}

func TestRules(t *testing.T) {
	w, c := newWire(t)
	n := c.Nodes
	for _, test := range []struct {
		fault Fault
		want  string
	}{
		{OneWay(n[1:2], n[:1]), `*mangle
:C - [0:0]
-I PREROUTING -i eth0 -j C
-A C -s 10.0.0.2 -m comment --comment n2 -j DROP
-A C -s 10.244.2.0/24 -m comment --comment n2 -j DROP
COMMIT
`},
		{OnPort(2379, 2380).Refusing().OneWay(n[1:2], n[:1]), `*filter
:C - [0:0]
-I INPUT -i eth0 -j C
-I FORWARD -i eth0 -j C
-A C -p tcp --tcp-flags RST RST -j RETURN
-A C -p icmp --icmp-type destination-unreachable -j RETURN
-A C -s 10.0.0.2 -p tcp -m multiport --ports 2379,2380 -m comment --comment n2 -j REJECT --reject-with tcp-reset
-A C -s 10.244.2.0/24 -p tcp -m multiport --ports 2379,2380 -m comment --comment n2 -j REJECT --reject-with tcp-reset
COMMIT
`},
		{Isolate(n[0], n[1]), `*mangle
:C - [0:0]
-I PREROUTING -i eth0 -j C
-I POSTROUTING -o eth0 -j C
-A C -s 10.0.0.254 -j RETURN
-A C -d 10.0.0.254 -j RETURN
-A C -s 10.0.0.2 -j RETURN
-A C -d 10.0.0.2 -j RETURN
-A C -s 10.244.2.0/24 -j RETURN
-A C -d 10.244.2.0/24 -j RETURN
-A C -i eth0 -m comment --comment in -j DROP
-A C -o eth0 -m comment --comment out -j DROP
COMMIT
`},
		{Refusing().Isolate(n[0]), `*filter
:C - [0:0]
-I INPUT -i eth0 -j C
-I FORWARD -i eth0 -j C
-I OUTPUT -o eth0 -j C
-I FORWARD -o eth0 -j C
-A C -p tcp --tcp-flags RST RST -j RETURN
-A C -p icmp --icmp-type destination-unreachable -j RETURN
-A C -s 10.0.0.254 -j RETURN
-A C -d 10.0.0.254 -j RETURN
-A C -i eth0 -p tcp -m comment --comment in -j REJECT --reject-with tcp-reset
-A C -i eth0 ! -p tcp -m comment --comment in -j REJECT --reject-with icmp-port-unreachable
-A C -o eth0 -p tcp -m comment --comment out -j REJECT --reject-with tcp-reset
-A C -o eth0 ! -p tcp -m comment --comment out -j REJECT --reject-with icmp-port-unreachable
COMMIT
`},
		{OnPort(6443).Close(n[0]), `*mangle
:C - [0:0]
-I PREROUTING ! -i lo -j C
-A C  -p tcp -m multiport --dports 6443 -m comment --comment closed -j DROP
COMMIT
`},
		{Loss(12.5, n[1:2], n[:1]), `*mangle
:C - [0:0]
-I PREROUTING -i eth0 -j C
-A C -s 10.0.0.2 -m comment --comment all-n2
-A C -s 10.0.0.2 -m statistic --mode random --probability 0.125000000 -m comment --comment n2 -j DROP
-A C -s 10.244.2.0/24 -m comment --comment all-n2
-A C -s 10.244.2.0/24 -m statistic --mode random --probability 0.125000000 -m comment --comment n2 -j DROP
COMMIT
`},
	} {
		f := test.fault.parts[0]
		for _, p := range test.fault.parts {
			if p.node == n[0] {
				f = p
			}
		}
		for _, w.device = range []string{"eth0", "ens3"} {
			e, err := f.plan(t.Context(), string(f.kind)+"-C-0")
			if err != nil {
				t.Errorf("%s: %v", test.fault, err)
				continue
			}
			want := strings.ReplaceAll(test.want, "eth0", w.device)
			if got := strings.ReplaceAll(e.inject[5], "FAULTLINE-C-0", "C"); got != want {
				t.Errorf("%s:\n%s\nwant:\n%s", test.fault, got, want)
			}
		}
	}
}

func TestParseDevice(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "\n": "", "7:": "",
		"2: ens3    inet 10.0.0.1/24 brd 10.0.0.255 scope global ens3\\       valid_lft forever\n": "ens3",
		"14: eth0@if15    inet 172.18.0.2/16 scope global eth0\n":                                  "eth0",
		"3: bond0.100    inet 10.0.0.1/32 scope global bond0.100\n":                                "bond0.100",
	} {
		if got := parseDevice(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// TestScriptsLimitALink runs the scripts with a real kernel, in a network of their own whose
// device is not eth0.
func TestScriptsLimitALink(t *testing.T) {
	s := newSandbox(t)
	look := "tc qdisc show dev lo"
	if out, err := exec.Command("unshare", "--net", "sh", "-c", look).CombinedOutput(); err != nil || os.Getuid() != 0 {
		t.Skipf("queues cannot be tried here: %v %s", err, out)
	}
	out, err := s.run(t.Context(), nil, "unshare", "--net", "sh", "-c", shapableScript, "faultline", "lo", "7:", "1048576", "20971")
	if err != nil || len(out) > 0 {
		t.Skipf("links cannot be limited here: %v %s", err, out)
	}
	script := `mkdir -p "$STATE/x-0"
ip link set lo up
sh -c "$SHAPE" faultline x-0 lo 7: 1048576 20971
tc qdisc show dev lo
sh -c "$UNDO" faultline x-0 lo 7:
sh -c "$UNDO" faultline x-0 lo 7:
echo "== after"
tc qdisc show dev lo
sh -c "$SHAPE" faultline x-0 lo 7: 1048576 20971 || echo late`
	s.env = append(s.env, "SHAPE="+strings.ReplaceAll(shapeScript, stateDir, s.path("state")),
		"UNDO="+strings.ReplaceAll(unshapeScript, stateDir, s.path("state")), "STATE="+s.path("state"))
	out, err = s.run(t.Context(), nil, "unshare", "--net", "sh", "-ec", script)
	if err != nil {
		t.Fatal(err)
	}
	shaped, after, _ := strings.Cut(string(out), "== after")
	if !strings.Contains(shaped, "qdisc tbf 7: root") || strings.Contains(after, "tbf") || !strings.HasSuffix(after, "late\n") {
		t.Errorf("limited:\n%s\nafter the undo:\n%s", shaped, after)
	}
	if left := s.leftovers(); len(left) > 0 {
		t.Errorf("left over %v", left)
	}
}

func TestAChainHasRoomForItsName(t *testing.T) {
	for _, e := range append(networkEntries, composedEntries...) {
		id := newID(e.Kind)
		if name := chainOf(id + "-999"); len(name) > 28 || name == chainOf(id+"-998") || name == chainOf(newID(e.Kind)+"-999") {
			t.Errorf("%s: the chain %s has %d characters, at most 28 are allowed, and is to be of one part of one fault", e.Kind, name, len(name))
		}
	}
}

func TestParseCounters(t *testing.T) {
	got, err := parseCounters(`-N C
-A C -s 10.0.0.2/32 -m comment --comment n2 -c 3 180 -j DROP
-A C -s 10.244.2.0/24 -m comment --comment "n2" -c 4 240 -j DROP
-A C -m comment --comment all-n2 -c 9 1
-A C -p icmp -c 5 5 -j RETURN
`)
	if err != nil || len(got) != 2 || got["n2"] != 7 || got["all-n2"] != 9 {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"-A C -m comment --comment x -j DROP", "-A C -m comment --comment x -c", "-A C -m comment --comment x -c y 1"} {
		if got, err := parseCounters(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestAShareIsPlausible(t *testing.T) {
	f := filter{share: 0.3}
	for _, test := range []struct {
		hit, of uint64
		good    bool
	}{{0, 0, false}, {0, 20, false}, {6, 20, true}, {20, 20, false}, {300, 1000, true}, {200, 1000, false}, {400, 1000, false}} {
		if err := f.checkShare("n2", test.hit, test.of); (err == nil) != test.good {
			t.Errorf("%d of %d: %v", test.hit, test.of, err)
		}
	}
}

func TestADelayIsMeasured(t *testing.T) {
	h := hold{latency: 100 * time.Millisecond}
	s := sender{from: &clusters.Node{Name: "n1"}, to: []string{"10.0.0.2"}}
	for _, test := range []struct {
		answer answer
		good   bool
	}{
		{answer{refusal, 120 * time.Millisecond}, true}, {answer{connected, 100 * time.Millisecond}, true},
		{answer{refusal, 99 * time.Millisecond}, false}, {answer{timedOut, 0}, false},
	} {
		if err := h.judge(s, []answer{test.answer}); (err == nil) != test.good {
			t.Errorf("%+v: %v", test.answer, err)
		}
	}
}

func TestUndosOfTheNetworkSurviveSystemd(t *testing.T) {
	for _, script := range []string{unfilterScript, undelayScript, unshapeScript} {
		if strings.Contains(script, "${") || strings.Contains(script, "$$") {
			t.Errorf("systemd rewrites ${ and $$ in %q", script)
		}
	}
}

// TestScriptsFilterAndUndo runs the scripts with a real kernel, in a network of their own
// that ends with them.
func TestScriptsFilterAndUndo(t *testing.T) {
	s := newSandbox(t)
	list := "iptables-save --table mangle; iptables-save --table filter"
	if out, err := exec.Command("unshare", "--net", "sh", "-c", list).CombinedOutput(); err != nil || os.Getuid() != 0 {
		t.Skipf("packet rules cannot be tried here: %v %s", err, out)
	}
	_, c := newWire(t)
	f := filter{kind: KindIsolate, node: c.Nodes[0], apart: true, together: c.Nodes[:1], share: 1, Packets: Refusing()}
	rules, err := f.rules(t.Context(), "FAULTLINE-x-0")
	if err != nil {
		t.Fatal(err)
	}
	script := `mkdir -p "$STATE/x-0"
mark() { echo "== $1"; iptables-save --table mangle; iptables-save --table filter; }
iptables --append INPUT --jump ACCEPT
mark before
sh -c "$FILTER" faultline x-0 "$RULES"
mark filtered
iptables --insert OUTPUT --jump FAULTLINE-x-0 # somebody has half done it again
sh -c "$UNDO" faultline x-0 FAULTLINE-x-0
sh -c "$UNDO" faultline x-0 FAULTLINE-x-0
mark after
sh -c "$FILTER" faultline x-0 "$RULES" || echo late`
	s.env = append(s.env, "RULES="+rules, "FILTER="+strings.ReplaceAll(filterScript, stateDir, s.path("state")),
		"UNDO="+strings.ReplaceAll(unfilterScript, stateDir, s.path("state")), "STATE="+s.path("state"))
	out, err := s.run(t.Context(), nil, "unshare", "--net", "sh", "-ec", script)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(out), "== ")
	if len(parts) != 4 {
		t.Fatalf("got %s", out)
	}
	if strings.Count(parts[2], "-j FAULTLINE-x-0") != 4 {
		t.Errorf("filtered:\n%s", parts[2])
	}
	if strings.Contains(parts[3], "FAULTLINE") || !strings.Contains(parts[3], "-A INPUT -j ACCEPT") {
		t.Errorf("after the undo:\n%s", parts[3])
	}
	if !strings.HasSuffix(parts[3], "late\n") {
		t.Errorf("a late action did something: %s", parts[3])
	}
	if left := s.leftovers(); len(left) > 0 {
		t.Errorf("left over %v", left)
	}
}
