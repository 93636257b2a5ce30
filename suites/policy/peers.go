package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	"faultline/suites/components"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Members of etcd show each other certificates, too.
var _ = Describe("A member of etcd", Component(clusters.Etcd), Nightly, func() {
	It("whose certificate has expired is alone, with the API server beside it, while its peers keep their majority", Topology(topology), Claims("SEC-01"), func(ctx SpecContext) {
		d := On(ctx, topology)
		lost := d.EtcdMembers().Except(d.Leader(clusters.Etcd))[0]
		Expect(d.Told("every member has a leader", led(ctx, d, d.EtcdMembers(), true))).To(Succeed())
		components.LoseTheAPIServerBeside(d, lost, fault.ExpireCertificate(d.Cluster, fault.PeerCertificate, lost))
		Expect(d.Told("its peers have a leader", led(ctx, d, d.EtcdMembers().Except(lost), true))).To(Succeed())
		Expect(d.Told("it has none", led(ctx, d, clusters.Instances{lost}, false))).To(Succeed())
		components.RegainTheAPIServerBeside(d, lost)
	})

	It("whose certificate is of another authority is alone, and its peers do not miss it", Topology("bare-etcd-3"), Claims("SEC-01"), func(ctx SpecContext) {
		d := On(ctx, "bare-etcd-3")
		lost := d.EtcdMembers().Except(d.Leader(clusters.Etcd))[0]
		peers := d.EtcdMembers().Except(lost)
		was, err := statusOf(ctx, d, lost)
		Expect(err).NotTo(HaveOccurred())
		Expect(d.Told("its peers have a connection with it", connected(ctx, peers, was.ID, true))).To(Succeed())
		d.Inject(fault.ForeignCA(fault.ServingCertificate, lost)) // it shows its peers no other

		Expect(d).To(Lose(probe.Put).On(lost.Node).Within(d.Timing.Noticed()))
		for _, m := range peers {
			Expect(d).To(KeepServing(probe.Put).On(m.Node))
		}
		Expect(d.Told("its peers have none", connected(ctx, peers, was.ID, false))).To(Succeed())

		d.Undo()
		Expect(d).To(Resume(probe.Put).On(lost.Node).Within(d.Timing.MemberReturn()))
		Expect(d.Told("its peers have one again", connected(ctx, peers, was.ID, true))).To(Succeed())
		Expect(d.Told("all members have the same data", d.SameData(ctx, d.EtcdMembers()))).To(Succeed())
	})
})

// led fails unless each of the members has a leader, or has none.
func led(ctx context.Context, d *Drill, members clusters.Instances, want bool) error {
	for _, m := range members {
		status, err := statusOf(ctx, d, m)
		if is := err == nil && status.Leader != 0; is != want {
			return errors.Join(fmt.Errorf("%s has a leader: %t", m, is), err)
		}
	}
	return nil
}

// connectedScript tells whether the member of etcd on a node has a connection with its peer $1.
const connectedScript = `curl --silent --show-error --fail --max-time 3 http://127.0.0.1:2381/metrics |
  sed -n "s/^etcd_network_active_peers{.*Remote=\"$1\"} //p"`

// connected fails unless each of the members has a connection with a peer, or has none, as it says
// itself: clients refuse the peer's certificate, too, whatever its peers do.
func connected(ctx context.Context, members clusters.Instances, peer uint64, want bool) error {
	for _, m := range members {
		out, err := m.Node.Exec(ctx, "sh", "-c", connectedScript, "sh", fmt.Sprintf("%x", peer))
		if got := strings.TrimSpace(string(out)); err != nil || got != fmt.Sprint(one(want)) {
			return errors.Join(fmt.Errorf("%s has %q connections with it, want %d", m, got, one(want)), err)
		}
	}
	return nil
}

// statusOf does not wait for long: a member that has never had a leader does not answer.
func statusOf(ctx context.Context, d *Drill, m clusters.Instance) (clusters.EtcdMember, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	return d.EtcdStatus(ctx, m)
}
