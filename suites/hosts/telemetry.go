package hosts

import (
	"context"
	"errors"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: logs and metrics tell why something failed, and are kept elsewhere (A:L11,
// A:L115).
var _ = Describe("The logs and metrics of a lost host", Topology("three-host-stacked"), Nightly, WholeHost, func() {
	It("are had by those who have copied them before, and by nobody through the API", Claims("OPS-02"), func(ctx SpecContext) {
		d := On(ctx, "three-host-stacked")
		worker, other := Workers(d.Nodes)[0], Workers(d.Nodes)[1]
		survivor, lost := Masters(d.Host(other.Host))[0], d.Host(worker.Host)
		d.AskThrough(survivor.APIServer())
		here, there := startTeller(d, worker), startTeller(d, other)
		Expect(d.BecomesTrue("the API has logs and metrics of two hosts", d.Timing.Binding(), All(here.isTold, there.isTold))).To(Succeed())
		elsewhere := follow(ctx, d, survivor.APIServer(), here)
		Expect(d.BecomesTrue("a log is copied while it is written", d.Timing.Binding(), elsewhere.hasLines(5))).To(Succeed())
		d.Inject(fault.PowerOff(lost...))

		Expect(d).To(Pause(probe.Write).Through(d.Front()).Within(d.Timing.HostLoss()))
		Expect(d).To(MarkNotReady(lost...).Within(d.Timing.NodeNotReady()))
		Expect(d.StaysTrueFor("the API has neither of the lost host, and both of another", d.Timing.LongerThanEviction(), All(here.isSilent, there.isTold))).To(Succeed())
		Expect(d.Took("the Events that tell of the loss are forgotten", newestEvent(ctx, d, survivor, worker), d.Timing.EventsForgotten())).To(Succeed())

		d.Undo()
		written := here.written(ctx)
		Expect(d.Saw("the copy is complete", elsewhere.String(), elsewhere.completes(written))).To(Succeed())
		Expect(d.BecomesTrue("the API has logs and metrics of the host again", d.Timing.NodeReturn(), here.isTold)).To(Succeed())
	})
})

// teller is a pod that logs a line each second, and stays on its node whatever happens to that.
type teller struct {
	pod  *corev1.Pod
	node *clusters.Node
	// patience is how long the API may take to tell something.
	patience time.Duration
}

// startTeller starts a teller with the drills' container, which is swept up after the spec.
func startTeller(d *Drill, n *clusters.Node) *teller {
	GinkgoHelper()
	t := &teller{node: n, patience: d.Timing.Noticed().Upper}
	Expect(d.Attempt("start a pod that logs on "+n.Name, func(ctx context.Context, c kubernetes.Interface) error {
		template, err := c.AppsV1().Deployments(Namespace).Get(ctx, Deployment, metav1.GetOptions{})
		if err != nil {
			return err
		}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "teller-" + n.Name}, Spec: template.Spec.Template.Spec}
		pod.Spec.NodeName = n.Name
		pod.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
		t.pod, err = c.CoreV1().Pods(Namespace).Create(ctx, pod, metav1.CreateOptions{})
		return err
	})).To(BeAccepted())
	return t
}

// log asks the API for the newest line of the teller's log.
func (t *teller) log(ctx context.Context, c kubernetes.Interface) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	one := int64(1)
	return c.CoreV1().Pods(Namespace).GetLogs(t.pod.Name, &corev1.PodLogOptions{TailLines: &one}).DoRaw(ctx)
}

// metrics asks the API for what the teller's node uses.
func (t *teller) metrics(ctx context.Context, c kubernetes.Interface) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	return c.CoreV1().RESTClient().Get().Resource("nodes").Name(t.node.Name).SubResource("proxy").Suffix("metrics", "resource").DoRaw(ctx)
}

func (t *teller) isTold(ctx context.Context, c kubernetes.Interface) error {
	log, err := t.log(ctx, c)
	if err != nil {
		return fmt.Errorf("log of %s: %w", t.pod.Name, err)
	}
	metrics, err := t.metrics(ctx, c)
	if err != nil {
		return fmt.Errorf("metrics of %s: %w", t.node.Name, err)
	}
	return Unless(len(log) > 0 && len(metrics) > 0, fmt.Errorf("%s: a log of %d bytes, metrics of %d", t.node.Name, len(log), len(metrics)))
}

func (t *teller) isSilent(ctx context.Context, c kubernetes.Interface) error {
	_, log := t.log(ctx, c)
	_, metrics := t.metrics(ctx, c)
	return errors.Join(unreachable("the log of "+t.pod.Name, log), unreachable("the metrics of "+t.node.Name, metrics))
}

// unreachable fails unless an API server that answers others could not reach a kubelet. That an
// object does not exist, say, is another matter.
func unreachable(what string, err error) error {
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return errors.New("the API tells " + what)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &status) && status.Status().Code >= 500:
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// eventsOf is before the keys of the Events about nodes.
const eventsOf = "/registry/events/default/"

// newestEvent is how long etcd keeps the newest Event about a node, by the lease that it has.
func newestEvent(ctx context.Context, d *Drill, survivor, about *clusters.Node) time.Duration {
	GinkgoHelper()
	etcd, err := d.EtcdClient(ctx, survivor.Instances(clusters.Etcd)[0])
	Expect(err).NotTo(HaveOccurred())
	// Not with keys only: etcd reads them from its index then, which knows no leases.
	found, err := etcd.Get(ctx, eventsOf+about.Name+".", clientv3.WithPrefix(),
		clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend), clientv3.WithLimit(1))
	Expect(err).NotTo(HaveOccurred())
	Expect(found.Kvs).NotTo(BeEmpty(), "no Event tells of %s", about.Name)
	lease, err := etcd.TimeToLive(ctx, clientv3.LeaseID(found.Kvs[0].Lease))
	Expect(err).NotTo(HaveOccurred())
	return time.Duration(lease.GrantedTTL) * time.Second
}
