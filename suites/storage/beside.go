package storage

import (
	"context"
	"fmt"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: a database may be in a virtual machine beside the cluster (A:L113). A service
// without a selector leads there, and a client in the cluster writes and reads all the time.
var _ = Describe("A database beside the cluster", Topology("external-database"), Nightly, WholeHost, func() {
	It("serves while the cluster loses its master and its worker, and is mended by nobody in the cluster", Claims("WORK-06"), func(ctx SpecContext) {
		d := On(ctx, "external-database")
		master, worker, machine := d.With(clusters.ControlPlane)[0], d.With(clusters.Worker)[0], d.With(clusters.Database)[0]
		database := machine.Instances(clusters.Etcd)[0]
		before, err := database.Process(ctx)
		Expect(err).NotTo(HaveOccurred())

		By("losing the only master")
		pod := awaitClient(d, worker, d.Timing.Binding())
		Expect(d.BecomesTrue("its pod reaches the database by the address of its service", d.Timing.Noticed(), pod.reaches)).To(Succeed())
		d.Then(fault.PowerOff(master).Losing(clusters.Components...))
		Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
		Expect(d.StaysTrueFor("the pod goes on to reach it there", d.Timing.LongerThanEviction(), pod.reaches)).To(Succeed())
		d.Undo()
		Expect(d).To(Resume(probe.Write).Within(d.Timing.NodeReturn()))
		Expect(d).To(Resume(probe.Reconcile).Within(d.Timing.MastersReturn()))
		d.AwaitHealed()

		By("losing the only worker")
		d.Then(fault.PowerOff(worker))
		Expect(d).To(Lose(probe.Workload).Within(d.Timing.Noticed()))
		Expect(d.StaysTrueFor("who is beside the cluster reaches the database", d.Timing.LongerThanEviction(), answers(d, database))).To(Succeed())
		d.Undo()
		Expect(d).To(Resume(probe.Workload).Within(d.Timing.NodeReturn()))
		pod = awaitClient(d, worker, d.Timing.NodeReturn())
		d.AwaitHealed()
		Expect(d.Unreplaced("the database's process is the same", database, before)).To(Succeed())

		By("losing the database")
		known := knownOf(ctx, d)
		written, err := d.EtcdStatus(ctx, database)
		Expect(err).NotTo(HaveOccurred())
		d.Then(fault.PowerOff(machine))
		Expect(d.BecomesTrue("the pod does not reach it any more", d.Timing.Noticed(), pod.isCutOff)).To(Succeed())
		Expect(d.StaysTrueFor("nobody replaces the client, leads it elsewhere or brings the database back", d.Timing.LongerThanEviction(),
			func(ctx context.Context, c kubernetes.Interface) error {
				if err := known.unchanged(ctx, c); err != nil {
					return err
				}
				return pod.isCutOff(ctx, c)
			})).To(Succeed())
		for _, name := range []probe.Name{probe.Write, probe.Schedule, probe.Reconcile, probe.Workload} {
			Expect(d).To(KeepServing(name))
		}
		d.Undo()
		Expect(d.BecomesTrue("the pod reaches it again", d.Timing.NodeReturn(), pod.reaches)).To(Succeed())
		Expect(d.BecomesTrue("it has what was written before", d.Timing.Noticed(), hasRevision(d, database, written.Revision))).To(Succeed())
	})
})

var (
	outside  = clusters.ExternalDatabase.Namespace()
	ofClient = clusters.OfApp("client")
)

// client is the pod that uses the database.
type client struct {
	node    *clusters.Node
	process clusters.Process
	// service is the address by which the pod knows the database, machine where that is.
	service, machine string
}

// awaitClient waits until the only client that there is works on the node, and finds it.
func awaitClient(d *Drill, n *clusters.Node, within clusters.Bounds) *client {
	GinkgoHelper()
	found := &client{node: n, machine: d.With(clusters.Database)[0].Address}
	Expect(d.BecomesTrue("a client in the cluster works with the database", within, func(ctx context.Context, c kubernetes.Interface) error {
		service, err := c.CoreV1().Services(outside).Get(ctx, clusters.DatabaseApp, metav1.GetOptions{})
		if err != nil {
			return err
		}
		found.service = service.Spec.ClusterIP
		pods, err := c.CoreV1().Pods(outside).List(ctx, ofClient)
		if err != nil {
			return err
		}
		if len(pods.Items) != 1 || !clusters.PodReady(&pods.Items[0]) {
			return fmt.Errorf("there are %d pods, want one that is ready", len(pods.Items))
		}
		found.process, err = d.PodOn(n, pods.Items[0].Name).Process(ctx)
		return err
	})).To(Succeed())
	return found
}

// askScript writes to the database, reads that back and deletes it again, from the network of the
// process $1 and with its certificates, at the service $2 instead of the machine $3, to which
// the database's certificate is issued. Each request has a connection of its own, so that the
// node has to know where the service leads. It tells whether anybody answers.
const askScript = `certs=/proc/$1/root/certs
[ -r "$certs/ca.crt" ] || { echo "process $1 has ended" >&2; exit 1; }
ask() {
  nsenter --net --target "$1" curl --silent --show-error --fail --max-time 3 \
    --cacert "$certs/ca.crt" --cert "$certs/tls.crt" --key "$certs/tls.key" \
    --connect-to "$3:2379:$2:2379" --data "$5" "https://$3:2379/v3/kv/$4"
}
key='"key":"YXR0ZW1wdA=="' value=d3JpdHRlbg==
ask "$@" put "{$key,\"value\":\"$value\"}" > /dev/null
status=$?
case $status in
  0) ask "$@" range "{$key}" | grep --quiet --fixed-strings "$value" && ask "$@" deleterange "{$key}" > /dev/null && echo answered ;;
  7 | 28) echo silent ;; # it could not connect, or nobody answered in time
  *) exit $status ;;
esac`

// ask tells whether the database answers the pod.
func (p *client) ask(ctx context.Context, want string) error {
	out, err := p.node.Exec(ctx, "sh", "-c", askScript, "sh", fmt.Sprint(p.process.PID), p.service, p.machine)
	if err != nil {
		return err
	}
	return Unless(string(out) == want+"\n", fmt.Errorf("it has %s", out))
}

func (p *client) reaches(ctx context.Context, _ kubernetes.Interface) error {
	return p.ask(ctx, "answered")
}

func (p *client) isCutOff(ctx context.Context, _ kubernetes.Interface) error {
	return p.ask(ctx, "silent")
}

// answers fails unless the database answers who is beside the cluster, too.
func answers(d *Drill, database clusters.Instance) Request {
	return func(ctx context.Context, _ kubernetes.Interface) error {
		ctx, cancel := context.WithTimeout(ctx, d.Timing.Noticed().Upper)
		defer cancel()
		etcd, err := d.EtcdClient(ctx, database)
		if err == nil {
			_, err = etcd.Get(ctx, "faultline/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		}
		return err
	}
}

// hasRevision fails unless the database has got as far as that at least.
func hasRevision(d *Drill, database clusters.Instance, revision int64) Request {
	return func(ctx context.Context, _ kubernetes.Interface) error {
		status, err := d.EtcdStatus(ctx, database)
		if err != nil {
			return err
		}
		return Unless(status.Revision >= revision, fmt.Errorf("it is at revision %d and was at %d", status.Revision, revision))
	}
}

// known is what the API has of the database and its client: versions of objects.
type known []string

func knownOf(ctx context.Context, d *Drill) known {
	GinkgoHelper()
	api, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	k, err := look(ctx, api)
	Expect(err).NotTo(HaveOccurred())
	return k
}

// unchanged fails when the client is another or was restarted, or the service leads elsewhere.
func (k known) unchanged(ctx context.Context, c kubernetes.Interface) error {
	now, err := look(ctx, c)
	if err != nil {
		return err
	}
	return Unless(slices.Equal(k, now), fmt.Errorf("there was %v and is %v", k, now))
}

func look(ctx context.Context, c kubernetes.Interface) (known, error) {
	service := metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + clusters.DatabaseApp}
	slicesOf, err := c.DiscoveryV1().EndpointSlices(outside).List(ctx, service)
	if err != nil {
		return nil, err
	}
	pods, err := c.CoreV1().Pods(outside).List(ctx, ofClient)
	if err != nil {
		return nil, err
	}
	var all known
	for _, s := range slicesOf.Items {
		all = append(all, fmt.Sprintf("endpoints %s at version %s", s.Name, s.ResourceVersion))
	}
	for _, p := range pods.Items {
		what := fmt.Sprintf("pod %s on %s, deleted %t", p.Name, p.Spec.NodeName, p.DeletionTimestamp != nil)
		for _, s := range p.Status.ContainerStatuses {
			what += fmt.Sprintf(", restarted %d times", s.RestartCount)
		}
		all = append(all, what)
	}
	return all, nil
}
