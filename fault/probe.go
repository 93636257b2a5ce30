package fault

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"faultline/clusters"
)

// sender is a node that shows what a filter does, by connecting to others.
type sender struct {
	from *clusters.Node
	to   []string
	// label is the filter's for these packets.
	label string
}

// discard is a port for probes that need no server: every kernel answers.
const discard = 9

// lossProbes are how many connections a sender attempts at a time to show a share.
const lossProbes = 20

// senders are who has to fail while the filter is in effect.
func (f filter) senders() []sender {
	to := func(label string, from *clusters.Node, at ...string) sender {
		if f.share < 1 {
			at = slices.Repeat(at, lossProbes)
		}
		return sender{from, at, label}
	}
	var all []sender
	switch {
	case f.closed:
		for _, n := range append(f.node.Neighbours(), clusters.ThisMachine()) {
			all = append(all, to(labelClosed, n, f.node.Address))
		}
	case f.apart:
		var others []string
		for _, n := range f.strangers() {
			all = append(all, to(labelIn, n, f.node.Address))
			others = append(others, n.Address)
		}
		all = append(all, to(labelOut, f.node, others...))
	default:
		for _, n := range f.from {
			all = append(all, to(n.Name, n, f.node.Address))
		}
	}
	return all
}

// The statuses of a probe, which are timeout's and the shell's.
const (
	connected = "0"
	refusal   = "1"
	timedOut  = "124"
)

// probeScript attempts connections to the port $1 of all other arguments at the same time,
// for $2 seconds, and prints what became of each.
const probeScript = `port=$1 limit=$2
shift 2
for at; do
  (took=$(timeout "$limit" bash -c '` + timedConnection + `' probe "$at" "$port" 2> /dev/null); echo "$at $? ${took:-0}") &
done
wait
`

// timedConnection prints how many microseconds the kernel took for an answer.
const timedConnection = `LC_ALL=C
began=$EPOCHREALTIME
: 3<> "/dev/tcp/$1/$2"
status=$?
ended=$EPOCHREALTIME
echo $((${ended/./} - ${began/./}))
exit $status`

// answer is what became of an attempted connection.
type answer struct {
	status string
	took   time.Duration
}

// probeLimit is how long an attempt may take; a time-out is the proof of a black hole.
const probeLimit = 500 * time.Millisecond

// probe sends, and returns what became of it.
func (f filter) probe(ctx context.Context, s sender) ([]answer, error) {
	port, limit := discard, probeLimit
	if f.hold != nil {
		limit += 2 * f.hold.longest()
	}
	if len(f.ports) > 0 {
		port = f.ports[0]
	}
	out, err := s.from.Exec(ctx, command(probeScript, append([]string{strconv.Itoa(port), seconds(limit)}, s.to...)...)...)
	if err != nil {
		return nil, fmt.Errorf("send from %s: %w", s.from.Name, err)
	}
	var all []answer
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if len(words) != 3 {
			break
		}
		microseconds, err := strconv.Atoi(words[2])
		if err != nil {
			break
		}
		all = append(all, answer{words[1], time.Duration(microseconds) * time.Microsecond})
	}
	if len(all) != len(s.to) {
		return nil, fmt.Errorf("send from %s: %d answers for %d connections: %q", s.from.Name, len(all), len(s.to), out)
	}
	return all, nil
}

// prove sends from everybody who should fail, and looks at the counters before and after.
// A sender that cannot be asked, because it is off itself, proves nothing and is said to;
// somebody has to be asked.
func (f filter) prove(ctx context.Context, chain string) (string, error) {
	before, err := f.counters(ctx, chain)
	if err != nil {
		return "", err
	}
	senders := f.senders()
	failed, mute := make([]error, len(senders)), make([]error, len(senders))
	_ = each(senders, func(n int, s sender) error {
		answers, err := f.probe(ctx, s)
		mute[n] = err
		if err == nil {
			failed[n] = f.judge(s, answers)
		}
		return nil
	})
	after, err := f.counters(ctx, chain)
	if err := errors.Join(append(failed, err)...); err != nil {
		return "", err
	}
	proofs, silent := []string{}, 0
	for n, s := range senders {
		if mute[n] != nil {
			proofs, silent = append(proofs, s.from.Name+" could not be asked to send"), silent+1
			continue
		}
		if after[s.label] <= before[s.label] && f.share == 1 {
			return "", fmt.Errorf("%s: no packet from %s was counted", f.node.Name, s.from.Name)
		}
	}
	if silent == len(senders) {
		return "", fmt.Errorf("nobody could be asked to send to %s: %w", f.node.Name, errors.Join(mute...))
	}
	counted, err := f.evidence(after)
	return strings.Join(append([]string{counted}, proofs...), ", "), err
}

// judge compares how a sender's connections ended with how they should.
func (f filter) judge(s sender, answers []answer) error {
	if f.hold != nil {
		return f.hold.judge(s, answers)
	}
	want, word := timedOut, "vanish"
	if f.refuse {
		want, word = refusal, "be refused"
	}
	for n, a := range answers {
		if a.status != want && f.share == 1 {
			return fmt.Errorf("a connection from %s to %s did not %s (status %s)", s.from.Name, s.to[n], word, a.status)
		}
	}
	return nil
}

// evidence tells the counters, and whether a share is what it should be.
func (f filter) evidence(counted map[string]uint64) (string, error) {
	var told []string
	for _, label := range f.labels() {
		words := fmt.Sprintf("%d packets (%s)", counted[label], label)
		if f.share < 1 {
			words = fmt.Sprintf("%d of %d packets (%s)", counted[label], counted[passing(label)], label)
			if err := f.checkShare(label, counted[label], counted[passing(label)]); err != nil {
				return "", err
			}
		}
		told = append(told, words)
	}
	return fmt.Sprintf("%s has hit %s", f.node.Name, strings.Join(told, ", ")), nil
}

func (f filter) labels() []string {
	var all []string
	for _, s := range f.senders() {
		if !slices.Contains(all, s.label) {
			all = append(all, s.label)
		}
	}
	return all
}

// checkShare wants at least one packet to be hit, and not more or fewer than four standard
// deviations from the share allow: chance alone does that once in 15,000 times.
func (f filter) checkShare(label string, hit, of uint64) error {
	want := f.share * float64(of)
	if off := 4*math.Sqrt(want*(1-f.share)) + 1; hit == 0 || math.Abs(float64(hit)-want) > off {
		return fmt.Errorf("%d of %d packets of %s were lost, want %.0f ± %.0f", hit, of, label, want, off)
	}
	return nil
}

// recovered waits until the chain is gone, everybody who failed is answered, and the node
// does what it is for.
func (f filter) recovered(ctx context.Context, chain string) (time.Time, error) {
	err := clusters.Await(ctx, healingPoll, "the network of "+f.node.Name, func(ctx context.Context) error {
		if err := f.gone(ctx, chain); err != nil {
			return err
		}
		return each(f.senders(), func(_ int, s sender) error {
			answers, err := f.probe(ctx, s)
			if err == nil && slices.ContainsFunc(answers, func(a answer) bool { return a.status == timedOut }) {
				return fmt.Errorf("a connection from %s to %s is not answered", s.from.Name, strings.Join(slices.Compact(s.to), " or "))
			}
			return nil // who cannot be asked has other troubles
		})
	})
	answered := time.Now()
	if err != nil {
		return answered, err
	}
	if len(f.node.Everything()) == 0 {
		return answered, nil
	}
	since, err := stays(f.node.Vital())(ctx)
	if since.Before(answered) {
		since = answered
	}
	return since, err
}

// gone fails while there is anything of the chain.
func (f filter) gone(ctx context.Context, chain string) error {
	out, err := f.node.Exec(ctx, "iptables", "--wait", "--table", f.table(), "--list-rules")
	if err == nil && strings.Contains(string(out), chain) {
		err = fmt.Errorf("%s still has the chain %s", f.node.Name, chain)
	}
	return err
}
