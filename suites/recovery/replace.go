package recovery

import (
	"bytes"
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// authorities are what all masters have in common, in /etc/kubernetes/pki.
var authorities = []string{
	"ca.crt", "ca.key", "front-proxy-ca.crt", "front-proxy-ca.key", "sa.pub", "sa.key", "etcd/ca.crt", "etcd/ca.key",
}

// joinScript is what a person types on the new machine, with kubeadm's configuration of the
// node in $1.
const joinScript = `kubeadm join --config="$1" > /var/log/kubeadm-join.log 2>&1 || { tail -n 30 /var/log/kubeadm-join.log >&2; exit 1; }`

// Document A: with three hosts the loss of one is recoverable (A:L68, A:L92).
var _ = Describe("A lost host of three", Topology("three-host-stacked"), Nightly, SpecPriority(5), Label("component:host"), func() {
	It("is replaced, and then another one may be lost", Claims("TOPO-20"), func(ctx SpecContext) {
		d := On(ctx, "three-host-stacked")
		masters := d.With(clusters.ControlPlane)
		survivor, lost, other := masters[0], masters[1], masters[2]
		for _, wrong := range []struct{ name, complaint string }{{"nobody", "no member nobody"}, {lost.Name, "is alive"}, {survivor.Name, "is this node"}} {
			Expect(d.Told("the runbook does not forget "+wrong.name, refusesToForget(ctx, survivor, wrong.name, wrong.complaint))).To(Succeed())
		}

		By("losing a master with its disk")
		d.Inject(fault.Erase(lost))
		Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(d.Timing.HostLoss()))

		By("replacing it")
		said, err := run(ctx, survivor, forgetScript, lost.Name)
		Expect(d.Told("the runbook forgets the lost master", err)).To(Succeed(), said)
		Expect(d.Told("a new master joins", join(ctx, survivor, lost))).To(Succeed())
		Expect(d).To(VisiblyPause(probe.CachedRead).On(lost).Within(d.Timing.RestoredInAll()))
		d.Undo() // closes the fault: there is nothing to put back any more
		Expect(d.BecomesTrue("every node is called ready", d.Timing.NodeReturn(), AllNodesReady)).To(Succeed())
		Expect(d.Told("all members have the same data", d.SameData())).To(Succeed())
		d.AwaitHealed()

		By("losing another one")
		d.Then(fault.PowerOff(other))
		Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(d.Timing.HostLoss()))
		d.Undo()
		Expect(d).To(Resume(probe.CachedRead).On(other).Within(d.Timing.NodeReturn()))
	})
})

// join sets a machine up as a master, with the authorities of another.
func join(ctx context.Context, survivor, machine *clusters.Node) error {
	archive, err := survivor.Exec(ctx, append([]string{"tar", "-c", "-C", "/etc/kubernetes/pki"}, authorities...)...)
	if err != nil {
		return fmt.Errorf("read the cluster's authorities: %w", err)
	}
	if _, err := machine.ExecInput(ctx, bytes.NewReader(archive), "sh", "-c", "mkdir -p /etc/kubernetes/pki && tar -x -C /etc/kubernetes/pki"); err != nil {
		return fmt.Errorf("bring the cluster's authorities: %w", err)
	}
	_, err = machine.Exec(ctx, "sh", "-c", joinScript, "sh", clusters.KubeadmConfig)
	return err
}

// refusesToForget fails unless the runbook refuses to forget a node, with a complaint.
func refusesToForget(ctx context.Context, survivor *clusters.Node, name, complaint string) error {
	said, err := run(ctx, survivor, forgetScript, name)
	return refused(said, err, complaint)
}
