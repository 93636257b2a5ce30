package quorum

import (
	"bytes"
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

const ownDisks = "bare-etcd-3-own-disks"

var _ = Describe("A member of etcd that has lost its disk", Core, Topology(bare(3)), Component(clusters.Etcd), func() {
	It("does not come back, and a new one takes its place", Claims("ETCD-11"), func(ctx SpecContext) {
		d := On(ctx, bare(3))
		lost := d.EtcdMembers()[2]
		rest := others(d, lost)

		By("starting it with an empty disk")
		d.Then(fault.WipeData(lost))
		Expect(d).To(Lose(probe.Put).On(lost.Node).Within(d.Timing.Noticed()))
		Expect(d.Told("it refuses to start, because it knows that it is no new member", tells(ctx, d, lost, "has already been bootstrapped"))).To(Succeed())
		Expect(d).To(Pause(probe.Put).On(rest...).Within(d.Timing.EtcdElection()))
		d.Undo()
		d.AwaitHealed()

		By("giving its place to a new member with an empty disk")
		d.Then(fault.RemoveEtcdMember(d.Cluster, lost))
		Expect(d).To(Lose(probe.Put).On(lost.Node).Within(d.Timing.Noticed()))
		Expect(d).To(Pause(probe.Put).On(rest...).Within(d.Timing.EtcdElection()))
		d.Undo()
		Expect(d).To(Resume(probe.Put).On(lost.Node).Within(d.Timing.MemberReturn()))
		Expect(d.Told("all members have the same data", d.SameData(ctx, d.EtcdMembers()))).To(Succeed())
	})
})

// tells fails unless the log of a member comes to have a text.
func tells(ctx context.Context, d *Drill, member clusters.Instance, text string) error {
	ctx, cancel := context.WithTimeout(ctx, d.Timing.MemberReturn().Upper)
	defer cancel()
	return clusters.Await(ctx, 250*time.Millisecond, "the log of "+member.String(), func(ctx context.Context) error {
		log, err := member.Log(ctx, 50)
		if err == nil && !bytes.Contains(log, []byte(text)) {
			err = fmt.Errorf("it does not say %q", text)
		}
		return err
	})
}

// Document A: how fast the disk is decides how long a failed member needs (A:L41 to A:L43).
var _ = Describe("The slower its disk is, the longer", Core, Topology(ownDisks), Component(clusters.Etcd), func() {
	It("a member of etcd takes to catch up", Claims("ETCD-15"), func(ctx SpecContext) {
		d := On(ctx, ownDisks)
		behind := d.EtcdMembers()[2]
		var faster time.Duration
		for _, bytesPerSecond := range []int64{4 << 20, 2 << 20, 1 << 20} {
			By(fmt.Sprintf("limiting its disk to %d MiB a second", bytesPerSecond>>20))
			d.Then(fault.ThrottleDisk(behind.Node, bytesPerSecond))
			took := catchUp(ctx, d, behind)
			// What it has missed has to be synced to its log before it counts.
			bounds := clusters.Bounds{Lower: time.Duration(float64(missed) / float64(bytesPerSecond) * float64(time.Second)), Upper: d.Timing.MemberReturn().Upper}
			Expect(d.Took(fmt.Sprintf("with %d MiB a second it has caught up", bytesPerSecond>>20), took, bounds)).To(Succeed())
			if faster > 0 {
				Expect(d.Told("that takes longer than on the faster disk", Unless(took > faster, fmt.Errorf("it took %s, and on that one %s", took, faster)))).To(Succeed())
			}
			d.Undo()
			d.AwaitHealed()
			faster = took
		}
		Expect(forget(ctx, d, missedKeys)).To(Succeed())
	})
})

const (
	// missed is how many bytes a member misses while it is down.
	missed = 32 << 20
	// missedValue is the size of each value of them.
	missedValue = 16 << 10
	// missedKeys is before the keys that a member misses.
	missedKeys = "/missed/"
	// writers put them at the same time.
	writers = 8
)

// catchUp takes a member down, writes without it, and returns how long it takes, from its
// start on, until it has everything.
func catchUp(ctx context.Context, d *Drill, behind clusters.Instance) time.Duration {
	GinkgoHelper()
	d.Inject(fault.HoldDown(behind))
	Expect(d).To(Lose(probe.Put).On(behind.Node).Within(d.Timing.Noticed()))
	revision, err := fill(ctx, d)
	Expect(err).NotTo(HaveOccurred())
	d.UndoLast()
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, d.Timing.MemberReturn().Upper)
	defer cancel()
	Expect(clusters.Await(ctx, 20*time.Millisecond, behind.String()+" to catch up", func(ctx context.Context) error {
		status, err := d.EtcdStatus(ctx, behind)
		if err == nil && status.Revision < revision {
			err = fmt.Errorf("it has revision %d of %d", status.Revision, revision)
		}
		return err
	})).To(Succeed())
	return time.Since(begun)
}

// fill writes what is missed through the leader, and returns the revision afterwards.
func fill(ctx context.Context, d *Drill) (int64, error) {
	client, err := d.EtcdClient(ctx, d.Leader(clusters.Etcd))
	if err != nil {
		return 0, err
	}
	value := string(bytes.Repeat([]byte{'x'}, missedValue))
	group, writing := errgroup.WithContext(ctx)
	for w := range writers {
		group.Go(func() error {
			for n := range missed / missedValue / writers {
				if _, err := client.Put(writing, fmt.Sprintf("%s%d-%d", missedKeys, w, n), value); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, fmt.Errorf("write what a member is to miss: %w", err)
	}
	status, err := d.EtcdStatus(ctx, d.Leader(clusters.Etcd))
	return status.Revision, err
}

// forget deletes what was written under keys that begin so.
func forget(ctx context.Context, d *Drill, keys string) error {
	client, err := d.EtcdClient(ctx, d.Leader(clusters.Etcd))
	if err == nil {
		_, err = client.Delete(ctx, keys, clientv3.WithPrefix())
	}
	return err
}

// stalls are how often the disk of a leader stalls for short.
const stalls = 3

// Document A: a slow disk is enough to destabilise etcd (A:L45).
var _ = Describe("A leader of etcd whose disk stalls", Core, Topology(ownDisks), Component(clusters.Etcd), func() {
	It("loses its office though nothing has crashed", Claims("ETCD-16"), func(ctx SpecContext) {
		d := On(ctx, ownDisks)
		leader := d.Leader(clusters.Etcd)
		before, err := leader.Process(ctx)
		Expect(err).NotTo(HaveOccurred())

		By("stalling for long")
		d.Then(fault.StallDisk(leader.Node))
		Expect(d).To(VisiblyPause(probe.Put).On(others(d, leader)...).Within(d.Timing.EtcdElection()))
		Expect(d).To(ElectEtcdLeader().Within(d.Timing.EtcdElection()))
		Expect(d).To(Lose(probe.Put).On(leader.Node).Within(d.Timing.Noticed()))
		d.Undo()
		Expect(d).To(Resume(probe.Put).On(leader.Node).Within(d.Timing.QuorumReturn()))
		d.AwaitHealed()
		Expect(d.Unreplaced("its process is the same", leader, before)).To(Succeed())

		By("stalling for short, again and again, whoever leads then")
		for range stalls {
			d.Then(fault.StallDisk(d.Leader(clusters.Etcd).Node))
			d.Hold(d.Timing.DeposingStall())
			d.Undo()
			Expect(d).To(VisiblyPause(probe.Put).Within(d.Timing.EtcdElection()))
			d.AwaitHealed()
		}
	})
})
