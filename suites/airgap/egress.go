package airgap

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// egress is what each node has tried to send out of the cluster's network since it booted, all
// of which was refused.
type egress map[string]clusters.Egress

func egressOf(ctx context.Context, d *Drill) egress {
	GinkgoHelper()
	all := egress{}
	for _, n := range slices.Concat(Masters(d.Nodes), Workers(d.Nodes)) {
		e, err := n.Egress(ctx)
		Expect(err).NotTo(HaveOccurred())
		all[n.Name] = e
	}
	return all
}

// nothingLeft expects that no node has tried to reach a registry, or anything else, outside since.
// The cluster's own DNS asks servers outside all the time, so that questions to them are told and
// not judged; to the address that tests attempt to reach nobody else goes.
func nothingLeft(ctx context.Context, d *Drill, before egress) {
	GinkgoHelper()
	sent := egressOf(ctx, d).since(before)
	Expect(d.Saw("no node has tried to send anything out of the network but questions to DNS", sent.String(), sent.none())).To(Succeed())
}

// since is what came after an earlier look.
func (e egress) since(before egress) egress {
	more := egress{}
	for name, now := range e {
		was := before[name]
		more[name] = clusters.Egress{Attempts: now.Attempts - was.Attempts, Names: now.Names - was.Names, Others: now.Others - was.Others}
	}
	return more
}

// none fails where a node has sent anything but questions to DNS and attempts of tests.
func (e egress) none() error {
	for name, sent := range e {
		if sent.Others > 0 {
			return fmt.Errorf("%s has tried to", name)
		}
	}
	return Unless(len(e) > 0, errors.New("no node was looked at"))
}

func (e egress) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(e)) {
		parts = append(parts, fmt.Sprintf("%s: %d packets, with %d more to DNS and %d of tests", name, e[name].Others, e[name].Names, e[name].Attempts))
	}
	return strings.Join(parts, "; ")
}
