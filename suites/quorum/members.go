// Package quorum holds the specs of what the documents say about the number and the
// placement of etcd's members (A:L26, A:L39, A:L54), on etcd alone: it needs no Kubernetes,
// and it is up in seconds.
package quorum

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// tolerance is how many of so many members may fail: the others have to be a majority.
func tolerance(members int) int { return (members - 1) / 2 }

// Document A asks for an odd number of members, three or more. The table is complete: for
// every size, every number of members that fail, one after the other, and the way back.
var _ = Describe("Of members of etcd", Component(clusters.Etcd), func() {
	DescribeTable("writes need a majority:", Claims("ETCD-01"),
		func(ctx SpecContext, size int) {
			d := On(ctx, bare(size))
			members := d.EtcdMembers()
			for failed := 1; failed <= size; failed++ {
				d.Then(fault.StopService(members[failed-1]).Losing(clusters.Etcd))
				expectWrites(d, members, failed)
			}
			for failed := size - 1; failed >= 0; failed-- {
				d.UndoLast()
				expectWritesAgain(d, members, failed)
			}
		},
		sized(1, "one, of which none may fail", Core),
		sized(2, "two, of which none may fail either", Core),
		sized(3, "three, of which one may fail", Core, Smoke),
		sized(4, "four, of which no more may fail than of three", Core),
		sized(5, "five, of which two may fail", Core),
		sized(6, "six, of which no more may fail than of five", Nightly),
		sized(7, "seven, of which three may fail", Nightly),
	)
})

func bare(size int) string { return fmt.Sprintf("bare-etcd-%d", size) }

func sized(size int, name string, labels ...any) TableEntry {
	return Entry(name, append(labels, Topology(bare(size)), size)...)
}

// expectWrites is one cell of the table on the way down.
func expectWrites(d *Drill, members clusters.Instances, failed int) {
	GinkgoHelper()
	left := nodesOf(members[failed:])
	switch {
	case failed <= tolerance(len(members)):
		Expect(d).To(Pause(probe.Put).On(left...).Within(d.Timing.EtcdElection()))
	case failed < len(members):
		Expect(d).To(Lose(probe.Put).On(left...).Within(d.Timing.Noticed()))
	default:
		Expect(d).To(Lose(probe.Put).Within(d.Timing.Noticed()))
	}
}

// expectWritesAgain is one on the way back up.
func expectWritesAgain(d *Drill, members clusters.Instances, failed int) {
	GinkgoHelper()
	left := nodesOf(members[failed:])
	if failed <= tolerance(len(members)) {
		Expect(d).To(Resume(probe.Put).On(left...).Within(d.Timing.QuorumReturn()))
		return
	}
	Expect(d).To(Lose(probe.Put).On(left...).Within(d.Timing.Noticed()))
}

func nodesOf(instances clusters.Instances) []*clusters.Node {
	var nodes []*clusters.Node
	for _, i := range instances {
		nodes = append(nodes, i.Node)
	}
	return nodes
}

var _ = Describe("While one member of etcd is in maintenance", Core, Component(clusters.Etcd), func() {
	It("four of five survive a failure", Topology(bare(5)), Claims("ETCD-12"), func(ctx SpecContext) {
		d := On(ctx, bare(5))
		members := d.EtcdMembers()
		d.Inject(fault.StopService(members[0]))
		d.Then(fault.HoldDown(members[1]))
		Expect(d).To(Pause(probe.Put).On(nodesOf(members[2:])...).Within(d.Timing.EtcdElection()))

		d.Then(fault.HoldDown(members[2]).Losing(clusters.Etcd))
		Expect(d).To(Lose(probe.Put).Within(d.Timing.Noticed()))

		d.UndoLast()
		Expect(d).To(Resume(probe.Put).On(nodesOf(members[2:])...).Within(d.Timing.QuorumReturn()))
	})

	It("two of three do not", Topology(bare(3)), Claims("ETCD-12"), func(ctx SpecContext) {
		d := On(ctx, bare(3))
		members := d.EtcdMembers()
		d.Inject(fault.StopService(members[0]))
		Expect(d).To(Pause(probe.Put).On(nodesOf(members[1:])...).Within(d.Timing.EtcdElection()))

		d.Then(fault.HoldDown(members[1]).Losing(clusters.Etcd))
		Expect(d).To(Lose(probe.Put).Within(d.Timing.Noticed()))

		d.UndoLast()
		Expect(d).To(Resume(probe.Put).On(nodesOf(members[1:])...).Within(d.Timing.QuorumReturn()))
	})
})

var _ = Describe("Three members of etcd", Core, Topology(bare(3)), Component(clusters.Etcd), func() {
	It("absorb the crash of their leader", Claims("ETCD-09"), func(ctx SpecContext) {
		AbsorbTheCrashOfTheLeader(On(ctx, bare(3)))
	})

	It("absorb a network that cuts their leader off, which goes on to read what it has", Claims("ETCD-09", "ETCD-06"), func(ctx SpecContext) {
		d := On(ctx, bare(3))
		leader := d.Leader(clusters.Etcd)
		revision := putKept(ctx, d, leader)
		d.Inject(fault.Partition([]*clusters.Node{leader.Node}, others(d, leader)))

		Expect(d).To(VisiblyPause(probe.Put).On(others(d, leader)...).Within(d.Timing.EtcdElection()))
		Expect(d).To(ElectEtcdLeader().Within(d.Timing.EtcdElection()))
		Expect(d).To(Lose(probe.Put).On(leader.Node).Within(d.Timing.Noticed()))
		Expect(d).To(Lose(probe.LinearizableRead).On(leader.Node).Within(d.Timing.Noticed()))
		Expect(d).To(KeepServing(probe.SerializableRead))
		Expect(d.Told("the one that is cut off has what was written before", hasKept(ctx, d, leader, revision))).To(Succeed())

		d.Undo()
		Expect(d).To(Resume(probe.Put).On(leader.Node).Within(d.Timing.QuorumReturn()))
		Expect(forget(ctx, d, keptKey)).To(Succeed())
	})

	It("leave a survivor that reads what it has, and does not call itself ready", Claims("ETCD-06"), func(ctx SpecContext) {
		d := On(ctx, bare(3))
		members := d.EtcdMembers()
		survivor := members[2]
		revision := putKept(ctx, d, survivor)
		d.Inject(fault.StopService(members[:2]...).Losing(clusters.Etcd))

		Expect(d).To(Lose(probe.Put).On(survivor.Node).Within(d.Timing.Noticed()))
		Expect(d).To(Lose(probe.LinearizableRead).On(survivor.Node).Within(d.Timing.Noticed()))
		Expect(d).To(KeepServing(probe.SerializableRead).On(survivor.Node))
		Expect(d.Told("the survivor has what was written before", hasKept(ctx, d, survivor, revision))).To(Succeed())
		Expect(d.Health(survivor, "livez")).To(Equal(200), "livez asks the member itself")
		Expect(d.Health(survivor, "readyz")).To(Equal(503), "readyz asks the majority")

		d.Undo()
		Expect(d).To(Resume(probe.Put).On(survivor.Node).Within(d.Timing.QuorumReturn()))
		Expect(d).To(Resume(probe.LinearizableRead).On(survivor.Node).Within(d.Timing.QuorumReturn()))
		Expect(forget(ctx, d, keptKey)).To(Succeed())
	})
})

const (
	// keptKey is written through a member before it loses the others.
	keptKey = "/kept"
	// keptValue is what it then has.
	keptValue = "of before"
)

// putKept writes through a member, which has it when it answers, and returns the revision.
func putKept(ctx context.Context, d *Drill, member clusters.Instance) int64 {
	GinkgoHelper()
	client, err := d.EtcdClient(ctx, member)
	Expect(err).NotTo(HaveOccurred())
	answer, err := client.Put(ctx, keptKey, keptValue)
	Expect(err).NotTo(HaveOccurred())
	return answer.Header.Revision
}

// hasKept fails unless a member that asks no other has what was written, of that revision.
func hasKept(ctx context.Context, d *Drill, member clusters.Instance, revision int64) error {
	ctx, cancel := context.WithTimeout(ctx, d.Timing.Noticed().Upper)
	defer cancel()
	client, err := d.EtcdClient(ctx, member)
	if err != nil {
		return err
	}
	answer, err := client.Get(ctx, keptKey, clientv3.WithSerializable())
	if err != nil {
		return err
	}
	is := len(answer.Kvs) == 1 && string(answer.Kvs[0].Value) == keptValue && answer.Kvs[0].ModRevision == revision
	return Unless(is, fmt.Errorf("of revision %d it has %v", revision, answer.Kvs))
}

// AbsorbTheCrashOfTheLeader is the experiment of ETCD-09; sabotage runs use it too.
func AbsorbTheCrashOfTheLeader(d *Drill) {
	GinkgoHelper()
	leader := d.Leader(clusters.Etcd)
	d.Inject(fault.HoldDown(leader))

	Expect(d).To(VisiblyPause(probe.Put).On(others(d, leader)...).Within(d.Timing.EtcdElection()))
	Expect(d).To(ElectEtcdLeader().Within(d.Timing.EtcdElection()))

	d.Undo()
	Expect(d).To(Resume(probe.Put).On(leader.Node).Within(d.Timing.MemberReturn()))
}

// others are the nodes of the other members.
func others(d *Drill, i clusters.Instance) []*clusters.Node {
	return nodesOf(d.EtcdMembers().Except(i))
}
