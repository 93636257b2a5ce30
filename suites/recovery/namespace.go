package recovery

import (
	"context"
	"errors"
	"fmt"
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
)

// Document A: objects can be saved through the API too, which restores what is wanted and
// nothing else, while a snapshot of etcd takes everything back (A:L100-101).
var _ = Describe("A namespace that was deleted", Topology("single-master"), Nightly, Runbook, Component(clusters.Etcd), func() {
	It("comes back alone from an export through the API, and with everything else from a backup of etcd", Claims("DR-06"), func(ctx SpecContext) {
		bringANamespaceBack(ctx, On(ctx, "single-master"))
	})
})

const (
	// tenant is the namespace, and tenantObjects how many configmaps it has.
	tenant        = "faultline-tenant"
	tenantObjects = 100
)

// bringANamespaceBack does both, one after the other. The fault exports the namespace through the
// API before it deletes it, and its undo is the import.
func bringANamespaceBack(ctx context.Context, d *Drill) {
	GinkgoHelper()
	master := d.With(clusters.ControlPlane)[0]
	d.Afterwards(takeAwayTenant)
	d.Afterwards(takeAwayNeighbours)
	Expect(d.BecomesTrue("the namespace is filled", d.Timing.Binding(), fillTenant)).To(Succeed())
	Expect(d.Attempt("create a neighbour before the backup", create(kept))).To(BeAccepted())
	b, err := takeBackup(ctx, master)
	Expect(d.Told("a backup of etcd is taken", err)).To(Succeed())
	Expect(d.Attempt("change the neighbour after the backup", mark(kept))).To(BeAccepted())
	Expect(d.Attempt("create a neighbour after the backup", create(forgotten))).To(BeAccepted())
	before := everything(ctx, d)

	By("importing what was exported through the API")
	d.Inject(fault.DeleteNamespace(d.Cluster, tenant))
	Expect(d.Told("of the namespace nothing is left", Unless(!inNamespace(everything(ctx, d)), nil))).To(Succeed())
	began := time.Now()
	d.Undo()
	imported := time.Since(began)
	d.AwaitHealed()
	inside, outside := compare(before, everything(ctx, d), tenant)
	Expect(d.Saw("everything in the namespace is another object of the same name, and nothing else is touched",
		fmt.Sprintf("in it %s; elsewhere %s", inside, outside), importedAlone(inside, outside))).To(Succeed())
	Expect(d.BecomesTrue("what was changed meanwhile has stayed", d.Timing.Noticed(), marked(kept, true))).To(Succeed())

	By("restoring the backup of etcd")
	d.Then(fault.Erase(master).Losing(clusters.Components...))
	began = time.Now()
	restoreFrom(ctx, d, b, master)
	restored := time.Since(began)
	inside, outside = compare(before, everything(ctx, d), tenant)
	Expect(d.Saw("in the namespace are the objects of before, and everything else has gone back with it",
		fmt.Sprintf("in it %s; elsewhere %s", inside, outside), wentBack(inside, outside, "configmaps "+Namespace+"/"+forgotten))).To(Succeed())
	Expect(d.BecomesTrue("what was changed meanwhile is lost", d.Timing.Noticed(), marked(kept, false))).To(Succeed())
	d.Noted("both take their time", fmt.Sprintf("the import %s for the %d objects of the namespace, the restore %s for all %d",
		imported.Round(time.Millisecond), len(inside.kept)+len(inside.changed), restored.Round(time.Second), len(before)))

	Expect(d.BecomesTrue("the namespace is taken away", d.Timing.NodeReturn(), takeAwayTenant)).To(Succeed())
}

// everything is all lasting objects, as they are now.
func everything(ctx context.Context, d *Drill) map[string]clusters.Identity {
	GinkgoHelper()
	all, err := d.Identities(ctx)
	Expect(err).NotTo(HaveOccurred())
	return all
}

func inNamespace(all map[string]clusters.Identity) bool {
	for _, i := range all {
		if i.Namespace == tenant {
			return true
		}
	}
	return false
}

// fillTenant creates the namespace, and fails until controllers have given it what each gets.
func fillTenant(ctx context.Context, c kubernetes.Interface) error {
	existing := func(err error) error {
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: tenant}}
	_, err := c.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
	errs := []error{existing(err)}
	for n := range tenantObjects {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("object-%d", n)}}
		_, err := c.CoreV1().ConfigMaps(tenant).Create(ctx, object, metav1.CreateOptions{})
		errs = append(errs, existing(err))
	}
	_, errAccount := c.CoreV1().ServiceAccounts(tenant).Get(ctx, "default", metav1.GetOptions{})
	_, errAuthority := c.CoreV1().ConfigMaps(tenant).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
	return errors.Join(append(errs, errAccount, errAuthority)...)
}

// takeAwayTenant deletes the namespace, and fails until it is gone.
func takeAwayTenant(ctx context.Context, c kubernetes.Interface) error {
	return clusters.RemoveNamespaces(ctx, c, tenant)
}

// takeAwayNeighbours minds nothing that is missing.
func takeAwayNeighbours(ctx context.Context, c kubernetes.Interface) error {
	var errs []error
	for _, name := range []string{kept, forgotten} {
		if err := remove(name)(ctx, c); !apierrors.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// mark changes an object, and marked fails unless it is changed, or is not.
func mark(name string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"changed": "since"}}
		_, err := c.CoreV1().ConfigMaps(Namespace).Update(ctx, object, metav1.UpdateOptions{})
		return err
	}
}

func marked(name string, want bool) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		object, err := c.CoreV1().ConfigMaps(Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return Unless((object.Data["changed"] == "since") == want, fmt.Errorf("it holds %v", object.Data))
	}
}
