package policy

import (
	"bytes"
	"context"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: who replaces or adds nodes has to be ready to issue certificates (A:L77).
var _ = Describe("A machine that replaces a lost worker", Topology(topology), Nightly, Component(clusters.Kubelet), func() {
	It("gets a certificate for a token, and none for one that has expired, while the lost one's is good for its own name alone", Claims("SEC-02"), func(ctx SpecContext) {
		replaceAWorker(ctx, On(ctx, topology))
	})
})

// How long the two tokens are good for: one until it is time to see it expire, the other longer
// than anybody needs it.
const (
	brief = 20 * time.Second
	long  = time.Hour
)

// replaceAWorker is the experiment of SEC-02.
func replaceAWorker(ctx context.Context, d *Drill) {
	GinkgoHelper()
	master, lost, other := Masters(d.Nodes)[0], Workers(d.Nodes)[0], Workers(d.Nodes)[1]
	thief, err := steal(ctx, lost)
	Expect(d.Told("somebody has a copy of a worker's certificate", err)).To(Succeed())

	d.Inject(fault.Erase(lost).WithTTL(3 * d.Timing.RestoredInAll().Upper))
	Expect(d).To(Lose(probe.Workload).On(lost).Within(d.Timing.Noticed()))
	Expect(d).To(MarkNotReady(lost).Within(d.Timing.NodeNotReady()))
	d.BeginRepair()
	Expect(d.Attempt("forget the lost worker", DeleteNode(lost.Name))).To(BeAccepted())

	By("showing the lost worker's certificate")
	anew := create("make a node of its own name", "/api/v1/nodes", nodeObject(lost.Name))
	Expect(d.BecomesTrue("it is good for a node of the same name, which nobody has any more, and for no other", d.Timing.Noticed(),
		newRights(thief, ofItsName(anew, other.Name)...).exactly(d.APIServers()...))).To(Succeed())

	By("joining with a token that has expired")
	made := time.Now()
	expired := invited(ctx, d, master, brief)
	Expect(d.BecomesTrue("every API server lets in who bears the token", d.Timing.Noticed(), expired.answers(d, http.StatusOK))).To(Succeed())
	Expect(d.BecomesTrue("none does any more (401)", clusters.Bounds{Upper: d.Timing.TokenExpires(brief).Upper}, expired.answers(d, http.StatusUnauthorized))).To(Succeed())
	Expect(d.Took("the token has expired", time.Since(made), d.Timing.TokenExpires(brief))).To(Succeed())
	Expect(d.Told("the machine cannot join with it", refusedToJoin(expired.join(ctx, lost, d.Timing.Noticed().Upper)))).To(Succeed())
	Expect(d.StaysTrue("it is no node", NodeAbsent(lost.Name))).To(Succeed())

	By("joining with a token that is good")
	began := time.Now()
	good := invited(ctx, d, master, long)
	Expect(d.Told("the machine joins", good.join(ctx, lost, d.Timing.NodeReturn().Upper))).To(Succeed())
	Expect(d.BecomesTrue("it is a node that is ready", d.Timing.NodeReturn(), NodeJoined(lost.Name))).To(Succeed())
	Expect(d.TookToRecover("it replaces the lost one", time.Since(began), d.Timing.NodeReturn())).To(Succeed())
	Expect(d.BecomesTrue("the cluster has given it a certificate, and asked nobody", d.Timing.Noticed(), good.issued)).To(Succeed())
	owner, err := steal(ctx, lost)
	Expect(err).NotTo(HaveOccurred())
	Expect(d.Told("which is another one", Unless(!bytes.Equal(certificateIn(d, owner), certificateIn(d, thief)), nil))).To(Succeed())
	itself := change("label the node of its name", "/api/v1/nodes/"+lost.Name, label("faultline/attempt"))
	Expect(d.BecomesTrue("the lost one is as good as before, since nobody revokes any", d.Timing.Noticed(),
		newRights(thief, ofItsName(itself, other.Name)...).exactly(d.APIServers()...))).To(Succeed())
	Expect(d).To(KeepServing(probe.Workload).On(other))

	d.Undo() // closes the fault: there is nothing to put back any more
	Expect(d).To(Resume(probe.Workload).On(lost).Within(d.Timing.NodeReturn()))
	d.AwaitHealed()
}

// invited is an invitation that is withdrawn with the spec.
func invited(ctx context.Context, d *Drill, master *clusters.Node, ttl time.Duration) invitation {
	GinkgoHelper()
	i, err := invite(ctx, master, ttl)
	Expect(d.Told("an administrator makes a token for "+ttl.String(), err)).To(Succeed())
	d.Afterwards(i.withdraw)
	return i
}

// certificateIn is a kubelet's, with its key.
func certificateIn(d *Drill, s subjects) []byte { return s[kubelet](d.Front()).CertData }

// ofItsName is what a kubelet's certificate is good for that has a name and no machine any more:
// one thing that it may do under its name, and nothing under another one.
func ofItsName(may demand, other string) []right {
	const nodes = "/api/v1/nodes"
	mayNot := func(q demand, because string) right { return right{who: kubelet, demand: q, because: because} }
	return []right{
		{who: kubelet, demand: may, granted: true},
		mayNot(create("make a node of another name", nodes, nodeObject("attempt-other")), "not allowed to modify node"),
		mayNot(change("label another node", nodes+"/"+other, label("faultline/attempt")), "not allowed to modify node"),
		mayNot(read("read another node", nodes+"/"+other), "only its own Node object"),
	}
}

func nodeObject(name string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
}
