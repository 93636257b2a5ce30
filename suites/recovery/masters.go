package recovery

import (
	"context"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// What is created before the backup, and after it.
const (
	kept      = "attempt-kept"
	forgotten = "attempt-forgotten"
	phantom   = "phantom"
)

var _ = Describe("A control plane whose only master is lost with its disk", Topology("single-master"), Nightly, Runbook, Component(clusters.Etcd), func() {
	It("comes back from a backup, without what was written since", Claims("DR-01", "DR-08", "DR-11"), func(ctx SpecContext) {
		RestoreTheMaster(ctx, On(ctx, "single-master"))
	})

	It("is left alone by a restore that cannot be right", Claims("DR-04"), func(ctx SpecContext) {
		d := On(ctx, "single-master")
		master := d.With(clusters.ControlPlane)[0]
		b, err := takeBackup(ctx, master)
		Expect(d.Told("a backup is taken", err)).To(Succeed())
		etcd := d.EtcdMembers()[0]
		before, err := etcd.Process(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(d.Told("a live control plane is not restored", refuses(ctx, b, master, "is alive"))).To(Succeed())

		d.Inject(fault.Stop(d.Instances(clusters.APIServer)...).Losing(clusters.APIServer))
		for _, wrong := range b.wrongs() {
			Expect(d.Told(wrong.what+" is refused", refuses(ctx, wrong.backup, master, wrong.complaint))).To(Succeed())
		}
		Expect(d.Unreplaced("etcd's process is the same", etcd, before)).To(Succeed())
		d.Undo()
		Expect(d).To(Resume(probe.Write).Within(d.Timing.StaticPodReturn()))
	})
})

// RestoreTheMaster is the experiment of DR-01; sabotage runs use it too.
func RestoreTheMaster(ctx context.Context, d *Drill) {
	GinkgoHelper()
	master, worker := d.With(clusters.ControlPlane)[0], Workers(d.Nodes)[0]
	Expect(d.Attempt("create an object before the backup", create(kept))).To(BeAccepted())
	b, err := takeBackup(ctx, master)
	Expect(d.Told("a backup is taken", err)).To(Succeed())
	Expect(d.Attempt("create an object after the backup", create(forgotten))).To(BeAccepted())
	Expect(d.StartPodOn(worker, phantom)).To(Succeed())

	d.Inject(fault.Erase(master).Losing(clusters.Components...))
	Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
	Expect(d).To(KeepServing(probe.Workload))
	Expect(d.Told("the pod that is not in the backup runs on without the master", phantomRuns(ctx, d, worker, true))).To(Succeed())
	restoreFrom(ctx, d, b, master)
	Expect(d.BecomesTrue("what was created before the backup is there", d.Timing.Noticed(), exists(kept, true))).To(Succeed())
	Expect(d.BecomesTrue("what was created after it is not", d.Timing.Noticed(), exists(forgotten, false))).To(Succeed())
	Expect(d.Told("a kubelet ends the pod that is not in the backup", gone(ctx, d, worker))).To(Succeed())
	Expect(d.Attempt("delete the object", remove(kept))).To(BeAccepted())
	recovered(d)
}

// restoreFrom runs the runbook on an empty machine, and expects that nobody joins again: workers
// know the authority, which is in the backup. It returns what the runbook said.
func restoreFrom(ctx context.Context, d *Drill, b backup, master *clusters.Node) (said string) {
	GinkgoHelper()
	d.BeginRepair()
	d.Forgo(b.revision, b.taken)
	began := time.Now()
	said = carryOut(d, "the runbook restores it", "the API is ready again", d.Timing.Restored(),
		func() (string, error) { return b.use(ctx, restoreScript, master) })
	Expect(d.BecomesTrue("every node has connected again", d.Timing.NodeReturn(), AllNodesConnected(began))).To(Succeed())
	Expect(d).To(Pause(probe.Schedule).Within(d.Timing.RestoredInAll()))
	Expect(d).To(Pause(probe.Reconcile).Within(d.Timing.RestoredInAll()))
	return said
}

// wrong is an archive that must not be restored.
type wrong struct {
	what string
	backup
	complaint string
}

// wrongs are made from a good archive.
func (b backup) wrongs() []wrong {
	changed := b
	changed.archive = append([]byte{}, b.archive...)
	changed.archive[len(changed.archive)/2] ^= 1
	cut, empty, foreign := b, b, b
	cut.archive = b.archive[:len(b.archive)/2]
	empty.archive = nil
	foreign.key, _, _ = keyPair()
	return []wrong{
		{"an archive with a changed byte", changed, "was changed or cut"},
		{"an archive that was cut", cut, "was changed or cut"},
		{"an empty archive", empty, "missing or empty"},
		{"an archive for another key", foreign, "another key"},
	}
}

// refuses fails unless the runbook refuses a backup with a complaint.
func refuses(ctx context.Context, b backup, master *clusters.Node, complaint string) error {
	said, err := b.use(ctx, restoreScript, master)
	return refused(said, err, complaint)
}

func create(name string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
		_, err := c.CoreV1().ConfigMaps(Namespace).Create(ctx, object, metav1.CreateOptions{})
		return err
	}
}

func remove(name string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		return c.CoreV1().ConfigMaps(Namespace).Delete(ctx, name, metav1.DeleteOptions{})
	}
}

// exists fails unless the object is there, or is not.
func exists(name string, want bool) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		_, err := c.CoreV1().ConfigMaps(Namespace).Get(ctx, name, metav1.GetOptions{})
		return isThere(err, want)
	}
}

// isThere judges the answer to a question for an object that is to be there, or not.
func isThere(err error, want bool) error {
	if want || err == nil {
		return Unless(want && err == nil, err)
	}
	return Unless(apierrors.IsNotFound(err), err)
}

// gone waits until no container of the phantom runs on a node.
func gone(ctx context.Context, d *Drill, n *clusters.Node) error {
	ctx, cancel := context.WithTimeout(ctx, d.Timing.Forgotten().Upper)
	defer cancel()
	return clusters.Await(ctx, 250*time.Millisecond, "the end of "+d.PodOn(n, phantom).String(), func(ctx context.Context) error {
		return phantomRuns(ctx, d, n, false)
	})
}

// phantomRuns fails unless a container of the phantom runs on a node, or none does, by the node's own
// runtime.
func phantomRuns(ctx context.Context, d *Drill, n *clusters.Node, want bool) error {
	all, err := d.PodOn(n, phantom).Containers(ctx)
	if err != nil {
		return err
	}
	runs := slices.ContainsFunc(all, func(c clusters.Container) bool { return c.State == "CONTAINER_RUNNING" })
	return Unless(runs == want, fmt.Errorf("its containers are %v", all))
}
