package fault

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"faultline/clusters"
)

// The faults on the network.
const (
	KindPartition Kind = "partition"
	KindOneWay    Kind = "one-way"
	KindIsolate   Kind = "isolate"
	KindClose     Kind = "close"
	KindLoss      Kind = "loss"
	KindDelay     Kind = "delay"
	KindBandwidth Kind = "bandwidth"
)

var networkEntries = []Entry{
	{KindPartition, "network", "two sets of nodes", packetFilter, rulesGo, rulesCount},
	{KindOneWay, "network", "two sets of nodes", packetFilter, rulesGo, rulesCount},
	{KindIsolate, "network", "nodes", packetFilter + ", and other nodes", rulesGo, rulesCount},
	{KindClose, "network", "ports of nodes", packetFilter, rulesGo, rulesCount},
	{KindLoss, "network", "two sets of nodes", packetFilter + " with the match statistic", rulesGo, "the rules count packets, and drop their share"},
	{KindDelay, "network", "two sets of nodes", packetFilter + " with the target NFQUEUE, and Go", rulesGo + ", and the program that holds packets ends", "connections take the latency, and the rules count them"},
	{KindBandwidth, "network", "nodes", "the queueing discipline tbf", "the fault's own queueing discipline is removed", "what is sent at full speed leaves at the limit"},
}

const (
	packetFilter = "iptables and IPv4"
	rulesGo      = "the fault's own chain and the jumps to it are removed"
	rulesCount   = "probes between the nodes fail, and the rules count them"
)

// The ports of what a control plane consists of.
const (
	PortAPI        = 6443 // also a load balancer's
	PortEtcdClient = 2379
	PortEtcdPeer   = 2380
)

// Packets says which packets a network fault hits, and how. The zero value: all of them,
// into a black hole.
//
// The rules are in a chain of the fault's own in the network namespace of the node: for a
// black hole in the table mangle, before and after all that kube-proxy and the pod
// network do, so that pods and established connections are hit like any others; for a
// refusal in the table filter, the only one that may refuse. Nobody else's rules are
// touched. The rules are gone after a reboot of the node.
type Packets struct {
	ports  []int
	refuse bool
}

// OnPort is the packets of TCP connections whose one end has one of these ports.
func OnPort(ports ...int) Packets { return Packets{ports: ports} }

// Refusing is a refusal in place of the black hole: TCP connections, also established ones,
// are reset, and other packets are answered with ICMP port unreachable.
func (p Packets) Refusing() Packets {
	p.refuse = true
	return p
}

// Refusing is every packet, refused.
func Refusing() Packets { return Packets{refuse: true} }

// maxPorts is what the match multiport takes.
const maxPorts = 15

func (p Packets) validate() error {
	if len(p.ports) > maxPorts {
		return fmt.Errorf("%d ports are too many: at most %d", len(p.ports), maxPorts)
	}
	for _, port := range p.ports {
		if port < 1 || port > 65535 {
			return fmt.Errorf("there is no port %d: want 1 to 65535", port)
		}
	}
	return nil
}

// String tells the packets to people.
func (p Packets) String() string {
	words := make([]string, len(p.ports))
	for n, port := range p.ports {
		words[n] = strconv.Itoa(port)
	}
	if len(words) == 0 {
		return "packets"
	}
	return "packets of port " + strings.Join(words, ", ")
}

// filter is what one node does to packets by rules of its own.
type filter struct {
	Packets
	kind Kind
	node *clusters.Node
	// from are the nodes whose packets are hit when they arrive.
	from []*clusters.Node
	// apart: all packets in and out are hit, save those of the nodes in together and of
	// this machine.
	apart    bool
	together []*clusters.Node
	// closed: packets to the ports are hit, whoever sends them.
	closed bool
	// share is the part of the packets that is hit, above 0 to 1.
	share float64
	// hold is how long packets are held in place of being dropped.
	hold *hold
}

// part is the filter as a part of a fault.
func (f filter) part(target string, takes func(*clusters.Cluster) clusters.Instances) part {
	return part{kind: f.kind, target: target, node: f.node, takes: takes, plan: f.plan}
}

// passes tells whether packets get through in the end.
func (f filter) passes() bool { return f.share < 1 || f.hold != nil }

// missing is a part for a node that is none. It is refused.
func missing(kind Kind) part { return part{kind: kind, target: "a missing node"} }

// filterLanding covers a few rounds of probes on a busy machine.
const filterLanding = 30 * time.Second

func (f filter) plan(ctx context.Context, id string) (effect, error) {
	if err := f.validate(); err != nil {
		return effect{}, err
	}
	rules, err := f.rules(ctx, chainOf(id))
	if err != nil {
		return effect{}, err
	}
	if err := f.try(ctx, rules); err != nil {
		return effect{}, err
	}
	e := effect{
		inject:    command(filterScript, id, rules),
		undo:      command(unfilterScript, id, chainOf(id)),
		prove:     func(ctx context.Context) (string, error) { return f.prove(ctx, chainOf(id)) },
		landing:   filterLanding,
		recovered: func(ctx context.Context) (time.Time, error) { return f.recovered(ctx, chainOf(id)) },
	}
	if f.hold != nil {
		return f.holding(ctx, e, id, rules)
	}
	return e, nil
}

// validate refuses what makes no sense, without looking at the node.
func (f filter) validate() error {
	if err := f.Packets.validate(); err != nil {
		return err
	}
	if f.node.Enter != nil {
		return fmt.Errorf("%w: %s has not the privileges to filter packets: switch it off or freeze it instead", clusters.ErrUnsupported, f.node.Name)
	}
	if f.closed && len(f.ports) == 0 {
		return errors.New("name the ports to close: OnPort(fault.PortAPI).Close(...)")
	}
	if f.kind == KindLoss && (f.share <= 0 || f.share >= 1) {
		return fmt.Errorf("a loss of %g %% is out of range: want more than 0 and less than 100; a loss of all is a partition", f.share*100)
	}
	if f.hold != nil {
		if err := f.hold.validate(); err != nil {
			return err
		}
	}
	neighbours := f.node.Neighbours()
	for _, other := range slices.Concat(f.from, f.together) {
		if other != f.node && !slices.Contains(neighbours, other) {
			return fmt.Errorf("%s is not in the cluster of %s", other.Name, f.node.Name)
		}
		if other == f.node && len(f.from) > 0 {
			return fmt.Errorf("%s is on both sides", f.node.Name)
		}
	}
	if f.apart && len(f.strangers()) == 0 {
		return fmt.Errorf("%s has no other node to be cut off from", f.node.Name)
	}
	for _, n := range append(neighbours, f.node) {
		if address, err := netip.ParseAddr(n.Address); err != nil || !address.Is4() {
			return fmt.Errorf("%w: %s has the address %q, and only IPv4 is filtered", clusters.ErrUnsupported, n.Name, n.Address)
		}
	}
	return nil
}

// strangers are the other nodes that an isolated node must not reach.
func (f filter) strangers() []*clusters.Node {
	return slices.DeleteFunc(f.node.Neighbours(), func(n *clusters.Node) bool { return slices.Contains(f.together, n) })
}

// chainOf names the fault's chain on the node, which has room for 28 characters: what
// tells IDs apart is in their last two parts, after the kind of the whole fault.
func chainOf(id string) string {
	parts := strings.Split(id, "-")
	return "FAULTLINE-" + strings.Join(parts[max(0, len(parts)-2):], "-")
}

// filterScript sets the rules $2 for the fault $1, all at once or none.
const filterScript = enter + armed + `printf '%s' "$2" | iptables-restore --noflush --wait
`

// unfilterScript removes the chain $2 of the fault $1 with every jump to it, wherever that
// was interrupted.
const unfilterScript = enter + removeChain + leave

const removeChain = `for table in mangle filter; do
  rules=$(iptables --wait --table "$table" --list-rules)
  echo "$rules" | sed -n "s/^-A \(.* -j $2\)\$/-D \1/p" | while read -r rule; do
    iptables --wait --table "$table" $rule
  done
  if echo "$rules" | grep -qxF -e "-N $2"; then
    iptables --wait --table "$table" --flush "$2"
    iptables --wait --table "$table" --delete-chain "$2"
  fi
done
`

// tryScript sets the rules $1 in a network namespace that ends with it, and prints why
// that does not work.
const tryScript = `printf '%s' "$1" | unshare --net iptables-restore --noflush --wait 2>&1 || true`

// try finds out whether the node's kernel and tools can do it.
func (f filter) try(ctx context.Context, rules string) error {
	out, err := f.node.Exec(ctx, command(tryScript, rules)...)
	if err != nil {
		return fmt.Errorf("try packet rules on %s: %w", f.node.Name, err)
	}
	if why := strings.TrimSpace(string(out)); why != "" {
		return fmt.Errorf("%w: the packet rules do not work on %s: %s", clusters.ErrUnsupported, f.node.Name, why)
	}
	return nil
}
