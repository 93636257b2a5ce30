package components

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

const (
	// eventRate is how many Events a second are a storm: many times what a quiet cluster
	// writes in all.
	eventRate = 200
	// stormTime is how long it is watched.
	stormTime = 20 * time.Second
	// eventKeys is before the keys of Events.
	eventKeys = "/registry/events/"
)

// Document A: a second etcd for Events keeps them away from the first (A:L44). The layout
// that has none is the control experiment.
var _ = Describe("A storm of Events", Component(clusters.Etcd), Nightly, func() {
	DescribeTable("is written to", Claims("ETCD-20"),
		func(ctx SpecContext, topology string, apart bool) {
			d := On(ctx, topology)
			main, home := d.EtcdMembers()[0], d.EtcdMembers()[0]
			if apart {
				home = d.EventsMembers()[0]
			}
			quiet := writesIn(ctx, d, main, stormTime)
			d.Inject(fault.EventStorm(Masters(d.Nodes)[0], eventRate))
			before := countEvents(ctx, d, home)
			stormy := writesIn(ctx, d, main, stormTime)
			events := countEvents(ctx, d, home) - before

			// The rate is what is asked for; a busy machine manages half of it at least.
			storm := int64(eventRate*stormTime.Seconds()) / 2
			Expect(d.Told("the storm goes on while it is watched: their etcd has the Events", Unless(events > storm, fmt.Errorf("it has %d more of them", events)))).To(Succeed())
			if apart {
				strays := countEvents(ctx, d, main)
				Expect(d.Told("no Event is in the main etcd", Unless(strays == 0, fmt.Errorf("%d are", strays)))).To(Succeed())
				Expect(d.Told("the main etcd writes about as much as before",
					Unless(stormy-quiet < storm/10, fmt.Errorf("%d revisions after %d", stormy, quiet)))).To(Succeed())
			} else {
				Expect(d.Told("the main etcd writes as much more as there are Events",
					Unless(stormy-quiet > storm, fmt.Errorf("%d revisions after %d", stormy, quiet)))).To(Succeed())
			}
			Expect(d).To(KeepServing(probe.Write))
		},
		Entry("the etcd of Events alone, where there is one", Topology("events-etcd"), "events-etcd", true),
		Entry("the main etcd, where there is no other", Topology("three-host-stacked"), "three-host-stacked", false),
	)
})

// writesIn counts the revisions that a member's etcd makes in a time.
func writesIn(ctx context.Context, d *Drill, member clusters.Instance, duration time.Duration) int64 {
	GinkgoHelper()
	before, err := d.EtcdStatus(ctx, member)
	Expect(err).NotTo(HaveOccurred())
	d.Hold(duration)
	after, err := d.EtcdStatus(ctx, member)
	Expect(err).NotTo(HaveOccurred())
	return after.Revision - before.Revision
}

// countEvents counts the Events that a member's etcd has.
func countEvents(ctx context.Context, d *Drill, member clusters.Instance) int64 {
	GinkgoHelper()
	client, err := d.EtcdClient(ctx, member)
	Expect(err).NotTo(HaveOccurred())
	answer, err := client.Get(ctx, eventKeys, clientv3.WithPrefix(), clientv3.WithCountOnly())
	Expect(err).NotTo(HaveOccurred())
	return answer.Count
}
