package recovery

import (
	"context"
	"fmt"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: what is left when the majority is gone is not what was there; recovery ends with
// as many masters as before (A:L26, A:L92).
var _ = Describe("A control plane that was formed anew from one of three masters", Topology("three-host-stacked"), Nightly, Runbook, Component(clusters.Etcd), func() {
	It("grows back to three, and then does without the first", Claims("DR-12"), func(ctx SpecContext) {
		GrowBack(ctx, On(ctx, "three-host-stacked"))
	})
})

// GrowBack is the experiment of DR-12.
func GrowBack(ctx context.Context, d *Drill) {
	GinkgoHelper()
	masters := d.With(clusters.ControlPlane)
	survivor, lost := masters[0], masters[1:]
	// The machines must not come back as they were while they are set up anew.
	d.Inject(fault.Erase(lost...).Losing(clusters.Components...).WithTTL(3 * d.Timing.RestoredInAll().Upper))
	Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
	Expect(d).To(KeepServing(probe.Workload))
	d.Hold(d.Timing.QuorumReturn().Upper)
	Expect(d.Told("without a majority nobody is invited", refusesOn(ctx, survivor, inviteScript, "etcd does not answer", authoritiesPath))).To(Succeed())

	By("forming an etcd of one")
	force(ctx, d, survivor)
	Expect(d).To(Pause(probe.Ready).On(survivor).Within(d.Timing.RestoredInAll()))
	putBack, err := takeOut(ctx, d, lost)
	Expect(d.Told("the load balancer leads to the survivor only", err)).To(Succeed())
	Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(d.Timing.RestoredInAll()))

	By("forgetting the lost masters, and adding new ones one after the other")
	d.BeginRepair() // etcd has no majority while its second member is added
	Expect(d.Told("nobody is invited while lost masters are listed", refusesOn(ctx, survivor, inviteScript, "forget the lost ones", authoritiesPath))).To(Succeed())
	for _, n := range lost {
		forgetMaster(ctx, d, survivor, n)
	}
	for _, n := range lost {
		joinMaster(ctx, d, survivor, n)
	}
	Expect(d.Told("the load balancer leads to all of them again", putBack(ctx))).To(Succeed())
	d.Undo() // closes the fault: there is nothing to put back any more
	d.AwaitHealed()
	recovered(d)

	By("losing the master that was left")
	d.Then(fault.PowerOff(survivor))
	Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(d.Timing.HostLoss()))
	d.Undo()
	Expect(d).To(Resume(probe.CachedRead).On(survivor).Within(d.Timing.NodeReturn()))
	sameData(d)
}

// endpoints is what kind's load balancer reads the API servers from, and follows.
const endpoints = "/home/envoy/cds.yaml"

// takeOut takes masters out of the load balancer. With most of those dead that it knows it leads
// requests to them, too: Envoy's panic threshold, which kind leaves at half of them (LB-05). They are
// put back with the end of the spec at the latest.
func takeOut(ctx context.Context, d *Drill, lost []*clusters.Node) (putBack func(context.Context) error, err error) {
	balancer := d.Instances(clusters.Envoy)[0].Node
	all, err := balancer.Exec(ctx, "cat", endpoints)
	if err != nil {
		return nil, err
	}
	left, err := withoutEndpoints(string(all), lost)
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", endpoints, balancer.Name, err)
	}
	putBack = func(ctx context.Context) error { return balancer.WriteFile(ctx, endpoints, all) }
	DeferCleanup(func(ctx SpecContext) {
		if putBack(ctx) != nil {
			d.EndsHere()
		}
	})
	return putBack, balancer.WriteFile(ctx, endpoints, []byte(left))
}

// withoutEndpoints is what is left of a list of endpoints, with which the file ends. It is an
// error when one of the nodes is not in it.
func withoutEndpoints(list string, lost []*clusters.Node) (string, error) {
	const each = "- endpoint:"
	entries := strings.Split(list, each)
	for _, n := range lost {
		i := slices.IndexFunc(entries, func(entry string) bool { return strings.Contains(entry, "address: "+n.Name+"\n") })
		if i < 1 {
			return "", fmt.Errorf("it has no %s", n.Name)
		}
		entries = slices.Delete(entries, i, i+1)
	}
	return strings.Join(entries, each), nil
}
