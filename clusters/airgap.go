package clusters

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
)

const (
	// AirGapNamespace is where an air-gapped layout has what it runs.
	AirGapNamespace = "faultline-air-gapped"
	// RegistryName is how references name the cluster's registry. No DNS knows it: every
	// node is told who it is.
	RegistryName = "registry.faultline:5000"
	// EgressChain is the chain, in the filter table of every node of an air-gapped
	// cluster, that refuses and counts packets that leave the cluster's network.
	EgressChain = "FAULTLINE-EGRESS"
	// Outside is an address that nobody has (TEST-NET-1, RFC 5737), to attempt to leave.
	Outside = "192.0.2.1"
)

// Comments of the chain's rules that count.
const (
	EgressAttempts = "attempts"
	EgressNames    = "names"
	EgressOthers   = "others"
)

// Egress counts the packets that a node refused since it booted.
type Egress struct {
	// Attempts went to Outside, from where only tests send them.
	Attempts uint64
	// Names were questions to DNS servers outside, which the engine asks for the node. The
	// cluster's DNS probes them all the time.
	Names uint64
	// Others were all others.
	Others uint64
}

// Egress reads the counters of a node of an air-gapped cluster.
func (n *Node) Egress(ctx context.Context) (Egress, error) {
	out, err := n.Exec(ctx, "iptables", "--wait", "--verbose", "--list-rules", EgressChain)
	if err != nil {
		return Egress{}, fmt.Errorf("count what %s refused to let out: %w", n.Name, err)
	}
	return parseEgress(out)
}

// parseEgress reads iptables' list of rules with counters: "... --comment names -c 3 180 ...".
func parseEgress(out []byte) (Egress, error) {
	var e Egress
	counters := map[string]*uint64{EgressAttempts: &e.Attempts, EgressNames: &e.Names, EgressOthers: &e.Others}
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		comment, packets := after(words, "--comment"), after(words, "-c")
		counter, ok := counters[comment]
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(packets, 10, 64)
		if err != nil {
			return Egress{}, fmt.Errorf("counter of %q: %w", strings.TrimSpace(line), err)
		}
		*counter += n
		seen[comment] = true
	}
	if len(seen) != len(counters) {
		return Egress{}, fmt.Errorf("the chain %s lacks rules: %.300q", EgressChain, out)
	}
	return e, nil
}

// after is the word that follows another, or nothing.
func after(words []string, word string) string {
	for i, w := range words[:max(0, len(words)-1)] {
		if w == word {
			return words[i+1]
		}
	}
	return ""
}

// checkAirGap proves that no node gets out of the cluster's network, neither itself nor
// a pod, that nothing tried to, and that an image came from the cluster's own registry
// (A:L79, A:L97).
func (t *tenants) checkAirGap(ctx context.Context) error {
	seats, err := t.seats(ctx, AirGapNamespace, AppLabel+"="+AppLabel, 1)
	if err != nil {
		return fmt.Errorf("air gap: %w", err)
	}
	for _, s := range seats[0].pod.Status.ContainerStatuses {
		if !strings.HasPrefix(s.ImageID, RegistryName+"/") {
			return fmt.Errorf("air gap: pod %s runs %s, which is not of the registry %s", seats[0].pod.Name, s.ImageID, RegistryName)
		}
	}
	var group errgroup.Group
	for _, n := range t.Nodes {
		if !n.Role.Kubernetes() {
			continue
		}
		pod := ""
		if n.Name == seats[0].pod.Spec.NodeName {
			pod = seats[0].pod.Status.PodIP
		}
		group.Go(func() error {
			if err := n.cannotLeave(ctx, ""); err != nil || pod == "" {
				return err
			}
			return n.cannotLeave(ctx, pod)
		})
	}
	return group.Wait()
}

// leaveScript attempts to leave, in the network of the node or of the pod with the address
// $1, between two looks at the counters. It does not before there is a chain that refuses.
const leaveScript = `set -e
for hook in OUTPUT FORWARD; do iptables --wait --check $hook --jump ` + EgressChain + `; done
network=/proc/self/ns/net
if [ -n "$1" ]; then
  network=
  for n in /run/netns/*; do
    if nsenter --net="$n" ip -4 -o address show to "$1" | grep --quiet .; then network=$n; fi
  done
  [ -n "$network" ] || { echo "no pod here has the address $1" >&2; exit 1; }
fi
iptables --wait --verbose --list-rules ` + EgressChain + `
status=0
nsenter --net="$network" curl --silent --output /dev/null --max-time 2 http://` + Outside + `/ || status=$?
echo "status $status"
iptables --wait --verbose --list-rules ` + EgressChain

// cannotLeave attempts to leave the network from the node, or from a pod there.
func (n *Node) cannotLeave(ctx context.Context, pod string) error {
	out, err := n.Exec(ctx, "sh", "-c", leaveScript, "sh", pod)
	if err != nil {
		return fmt.Errorf("attempt to leave the network from %s: %w", n.Name, err)
	}
	if err := parseLeave(out); err != nil {
		return fmt.Errorf("attempt to leave the network from %s (pod %q): %w", n.Name, pod, err)
	}
	return nil
}

// refused is curl's status for a connection that was refused at once.
const refused = "7"

// parseLeave reads what leaveScript prints.
func parseLeave(out []byte) error {
	first, rest, _ := bytes.Cut(out, []byte("status "))
	status, second, _ := bytes.Cut(rest, []byte("\n"))
	if string(status) != refused {
		return fmt.Errorf("curl ended with status %q, want %s: refused at once", status, refused)
	}
	before, err := parseEgress(first)
	if err != nil {
		return err
	}
	later, err := parseEgress(second)
	if err != nil {
		return err
	}
	if later.Attempts <= before.Attempts {
		return fmt.Errorf("it was refused but not counted: %d attempts before and %d after it", before.Attempts, later.Attempts)
	}
	if later.Others > 0 {
		return fmt.Errorf("%d packets were refused since the node booted that were no attempts of ours and no questions to DNS", later.Others)
	}
	return nil
}
