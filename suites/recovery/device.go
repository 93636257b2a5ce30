package recovery

import (
	"context"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: with etcd on a mirror one storage device may fail (A:L51); then it has to be replaced.
var _ = Describe("A mirror under etcd that has lost a device", Topology("single-host-mirrored-disk"), Nightly, Runbook, Component(clusters.Etcd), func() {
	It("gets another one while etcd goes on, and then does without the first", Claims("TOPO-03"), func(ctx SpecContext) {
		d := On(ctx, "single-host-mirrored-disk")
		etcd := d.EtcdMembers()[0]
		before, err := etcd.Process(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(d.Told("the runbook leaves a whole mirror alone", refusesOn(ctx, etcd.Node, replaceScript, "no device of the mirror", noDevice))).To(Succeed())

		By("losing a device")
		d.Inject(fault.FailDevice(etcd.Node, 0))
		Expect(d).To(Pause(probe.Write).Within(d.Timing.EtcdElection()))
		Expect(d).To(KeepServing(probe.Workload))
		Expect(d.Told("it does not take what is no device", refusesOn(ctx, etcd.Node, replaceScript, "is no block device", noDevice))).To(Succeed())

		By("replacing it")
		carryOut(d, "the runbook puts a new device in its place", "both devices hold everything", d.Timing.MemberReturn(),
			func() (string, error) { return replaceDevice(ctx, etcd.Node, 0) })
		Expect(d.Told("etcd's disk is whole", etcd.Node.CheckDisk(ctx))).To(Succeed())
		d.Undo() // closes the fault: there is nothing to put back any more
		d.AwaitHealed()

		By("losing the other one")
		d.Then(fault.FailDevice(etcd.Node, 1))
		Expect(d).To(Pause(probe.Write).Within(d.Timing.EtcdElection()))
		Expect(d.Unreplaced("etcd's process is the same", etcd, before)).To(Succeed())
		d.Undo()
		d.AwaitHealed()
		recovered(d)
	})
})

const (
	// replacePath is where the runbook is on a node while it is needed.
	replacePath = "/root/replace-device.sh"
	// noDevice is a device that there is not.
	noDevice = "/dev/none"
)

// replaceDevice brings a new device to a node, and runs the runbook for it.
func replaceDevice(ctx context.Context, n *clusters.Node, device int) (said string, err error) {
	if err := n.WriteFile(ctx, replacePath, []byte(replaceScript)); err != nil {
		return "", err
	}
	out, err := n.Exec(ctx, clusters.DiskTool, "replace", strconv.Itoa(device), "sh", replacePath)
	if _, removed := n.Exec(ctx, "rm", replacePath); err == nil {
		err = removed
	}
	return string(out), err
}
