package fault

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"faultline/clusters"
)

// hit is a kind of packets that a filter hits, with a label by which they are counted.
type hit struct{ match, label string }

// The labels of packets of an isolated node, and of those to closed ports.
const (
	labelIn     = "in"
	labelOut    = "out"
	labelClosed = "closed"
)

// passing is the label of all packets of which a share is hit.
func passing(label string) string { return "all-" + label }

// rules is the filter's chain as input for iptables-restore, which sets it as a whole.
func (f filter) rules(ctx context.Context, chain string) (string, error) {
	routes, err := f.routes(ctx)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "*%s\n:%s - [0:0]\n", f.table(), chain)
	for _, hook := range f.hooks(routes.device) {
		fmt.Fprintf(&b, "-I %s -j %s\n", hook, chain)
	}
	if f.refuse {
		// The refusals themselves have to get through a chain on the way.
		fmt.Fprintf(&b, "-A %[1]s -p tcp --tcp-flags RST RST -j RETURN\n-A %[1]s -p icmp --icmp-type destination-unreachable -j RETURN\n", chain)
	}
	for _, address := range f.spared(routes) {
		fmt.Fprintf(&b, "-A %[1]s -s %[2]s -j RETURN\n-A %[1]s -d %[2]s -j RETURN\n", chain, address)
	}
	for _, h := range f.hits(routes) {
		for _, rule := range f.on(h, chain) {
			fmt.Fprintf(&b, "-A %s %s\n", chain, rule)
		}
	}
	b.WriteString("COMMIT\n")
	return b.String(), nil
}

// table is where packets are hit.
func (f filter) table() string {
	if f.refuse {
		return "filter"
	}
	return "mangle"
}

// hooks are where packets come to the chain. What arrives is hit before, and what leaves
// after, kube-proxy gives it another address.
func (f filter) hooks(device string) []string {
	in, arriving, leaving := "-i "+device, []string{"PREROUTING"}, []string{"POSTROUTING"}
	if f.refuse {
		arriving, leaving = []string{"INPUT", "FORWARD"}, []string{"OUTPUT", "FORWARD"}
	}
	if f.closed {
		in = "! -i lo"
	}
	var all []string
	for _, hook := range arriving {
		all = append(all, hook+" "+in)
	}
	if f.apart {
		for _, hook := range leaving {
			all = append(all, hook+" -o "+device)
		}
	}
	return all
}

// on is the rules for one kind of packets.
func (f filter) on(h hit, chain string) []string {
	protocols := []string{""}
	switch {
	case f.closed:
		protocols = []string{" -p tcp -m multiport --dports " + f.portList()}
	case len(f.ports) > 0:
		protocols = []string{" -p tcp -m multiport --ports " + f.portList()}
	case f.refuse:
		protocols = []string{" -p tcp", " ! -p tcp"}
	}
	var all []string
	for _, protocol := range protocols {
		all = append(all, f.onProtocol(h.match+protocol, h.label, chain)...)
	}
	return all
}

func (f filter) onProtocol(match, label, chain string) []string {
	comment := func(text string) string { return " -m comment --comment " + text }
	if f.share == 1 {
		return []string{match + comment(label) + f.action(match, chain)}
	}
	random := " -m statistic --mode random --probability " + strconv.FormatFloat(f.share, 'f', 9, 64)
	return []string{match + comment(passing(label)), match + random + comment(label) + f.action(match, chain)}
}

// action is what becomes of the packets.
func (f filter) action(match, chain string) string {
	switch {
	case f.hold != nil:
		return fmt.Sprintf(" -j NFQUEUE --queue-num %d --queue-bypass", queueOf(chain))
	case !f.refuse:
		return " -j DROP"
	case strings.Contains(match, " ! -p tcp"):
		return " -j REJECT --reject-with icmp-port-unreachable"
	default:
		return " -j REJECT --reject-with tcp-reset"
	}
}

func (f filter) portList() string {
	words := make([]string, len(f.ports))
	for n, port := range f.ports {
		words[n] = strconv.Itoa(port)
	}
	return strings.Join(words, ",")
}

// hits are the packets that are hit.
func (f filter) hits(r routes) []hit {
	switch {
	case f.closed:
		return []hit{{"", labelClosed}}
	case f.apart:
		return []hit{{"-i " + r.device, labelIn}, {"-o " + r.device, labelOut}}
	}
	var all []hit
	for _, n := range f.from {
		for _, address := range r.of(n) {
			all = append(all, hit{"-s " + address, n.Name})
		}
	}
	return all
}

// spared are the addresses whose packets are not hit: of an isolated node those of this
// machine, which watches it, and of the nodes that are isolated together with it.
func (f filter) spared(r routes) []string {
	if !f.apart {
		return nil
	}
	all := []string{r.gateway}
	for _, n := range f.together {
		if n != f.node {
			all = append(all, r.of(n)...)
		}
	}
	return slices.DeleteFunc(all, func(address string) bool { return address == "" })
}

// routes is by which device a node reaches the others, and by which of them the networks of
// their pods.
type routes struct {
	device  string // the one that has the node's address
	gateway string // of the network: this machine
	via     map[string][]string
}

// of lists the addresses that are the node's: its own, and those of its pods.
func (r routes) of(n *clusters.Node) []string {
	return append([]string{n.Address}, r.via[n.Address]...)
}

// routes asks the node.
func (f filter) routes(ctx context.Context) (routes, error) {
	device, err := deviceOf(ctx, f.node)
	if err != nil {
		return routes{}, err
	}
	out, err := f.node.Exec(ctx, "ip", "-4", "route", "show")
	if err != nil {
		return routes{}, fmt.Errorf("routes of %s: %w", f.node.Name, err)
	}
	r := parseRoutes(string(out))
	r.device = device
	return r, nil
}

// deviceOf is the network device that has the address by which others know the node: eth0 in
// a container, and often another one on a machine of its own.
func deviceOf(ctx context.Context, n *clusters.Node) (string, error) {
	out, err := n.Exec(ctx, "ip", "-oneline", "address", "show", "to", n.Address)
	if err != nil {
		return "", fmt.Errorf("look for the network device of %s: %w", n.Name, err)
	}
	device := parseDevice(string(out))
	if device == "" || device == "lo" {
		return "", fmt.Errorf("%w: no network device of %s has its address %s, so that nobody knows where its packets pass",
			clusters.ErrUnsupported, n.Name, n.Address)
	}
	return device, nil
}

// parseDevice reads "2: ens3    inet 10.0.0.1/24 brd 10.0.0.255 scope global ens3 ...".
func parseDevice(text string) string {
	words := strings.Fields(text)
	if len(words) < 2 {
		return ""
	}
	device, _, _ := strings.Cut(words[1], "@")
	return device
}

// parseRoutes reads "default via 172.18.0.1 dev eth0" and "10.244.1.0/24 via 172.18.0.3 ...".
func parseRoutes(text string) routes {
	r := routes{via: map[string][]string{}}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 3 || words[1] != "via" {
			continue
		}
		if words[0] == "default" {
			r.gateway = words[2]
		} else if _, err := netip.ParsePrefix(words[0]); err == nil {
			r.via[words[2]] = append(r.via[words[2]], words[0])
		}
	}
	return r
}

// counters are how many packets the rules with each label have hit. It fails when there is no
// such chain.
func (f filter) counters(ctx context.Context, chain string) (map[string]uint64, error) {
	out, err := f.node.Exec(ctx, "iptables", "--wait", "--table", f.table(), "--list-rules", chain, "--verbose")
	if err != nil {
		return nil, fmt.Errorf("count packets on %s: %w", f.node.Name, err)
	}
	return parseCounters(string(out))
}

// parseCounters reads rules such as "-A CHAIN -s 172.18.0.3/32 -m comment --comment n1 -c 3 180 -j DROP".
func parseCounters(text string) (map[string]uint64, error) {
	counted := map[string]uint64{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		comment, packets := slices.Index(words, "--comment")+1, slices.Index(words, "-c")+1
		if comment == 0 {
			continue
		}
		if packets == 0 || max(comment, packets) >= len(words) {
			return nil, fmt.Errorf("the rule %q has no counter", strings.TrimSpace(line))
		}
		n, err := strconv.ParseUint(words[packets], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("counter of the rule %q: %w", strings.TrimSpace(line), err)
		}
		counted[strings.Trim(words[comment], `"`)] += n
	}
	return counted, nil
}
