package recovery

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"

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

// Document A: secrets are in etcd, so its disk and its backups have to be encrypted (A:L86 to
// A:L89, A:L99).
var _ = Describe("A secret", Topology("single-master"), Nightly, Component(clusters.Etcd), func() {
	It("is in clear text on etcd's disk and in a snapshot, and not in an encrypted backup", Claims("SEC-07"), func(ctx SpecContext) {
		SecretsAreOnTheDisk(ctx, On(ctx, "single-master"))
	})

	It("is nowhere in clear text where it is encrypted before it is stored, and is lost with the key", Claims("SEC-07"), func(ctx SpecContext) {
		loseTheKey(ctx, On(ctx, "single-master"))
	})
})

// SecretsAreOnTheDisk is the experiment of SEC-07 without encryption at rest; sabotage runs use it too.
func SecretsAreOnTheDisk(ctx context.Context, d *Drill) {
	GinkgoHelper()
	member, marker := d.EtcdMembers()[0], rand.Text()
	Expect(d.Told("before it is created nobody finds it", onDisk(ctx, member, marker, false))).To(Succeed())
	Expect(d.Attempt("create a secret", createSecret(marker))).To(BeAccepted())
	Expect(d.Told("whoever has the disk can read it", onDisk(ctx, member, marker, true))).To(Succeed())
	Expect(d.Told("whoever has a snapshot can read it", inSnapshot(ctx, d, member, marker, true))).To(Succeed())

	b, err := takeBackup(ctx, member.Node)
	Expect(d.Told("a backup is taken", err)).To(Succeed())
	Expect(d.Told("whoever has the backup cannot", Unless(!bytes.Contains(b.archive, []byte(marker)), nil))).To(Succeed())
	Expect(d.Attempt("delete the secret", deleteSecret)).To(BeAccepted())
	Expect(d.Attempt("create a secret of more than 1 MiB", createSecret(strings.Repeat("x", corev1.MaxSecretSize+1)))).To(BeRejected("Too long"))
}

// loseTheKey is the experiment of SEC-07 with encryption at rest. The API server that has lost the key
// is never ready, since nobody can list secrets any more; but it answers.
func loseTheKey(ctx context.Context, d *Drill) {
	GinkgoHelper()
	member, marker := d.EtcdMembers()[0], rand.Text()
	flag, err := PlaceEncryption(ctx, d)
	Expect(d.Told("the master is given a key", err)).To(Succeed())
	takeEncryptionAway(d, member.Node)
	encrypt := fault.SetFlag(flag, d.Instances(clusters.APIServer)...).Losing(clusters.APIServer)

	By("encrypting a secret")
	d.Inject(encrypt)
	Expect(d).To(Resume(probe.Write).Within(d.Timing.ControlPlaneReturn(d.Outage())))
	Expect(d.Attempt("create a secret", createSecret(marker))).To(BeAccepted())
	Expect(d.Told("whoever has the disk cannot read it", onDisk(ctx, member, marker, false))).To(Succeed())
	Expect(d.Told("whoever has a snapshot cannot read it", inSnapshot(ctx, d, member, marker, false))).To(Succeed())
	Expect(d.Told("the snapshot has it encrypted", inSnapshot(ctx, d, member, encryptedMark, true))).To(Succeed())
	Expect(d.Attempt("read the secret", readSecret(marker))).To(BeAccepted())

	By("losing the key")
	d.Undo()
	Expect(d.BecomesTrue("without the key the API server fails to read it", d.Timing.ControlPlaneReturn(d.Outage()), unreadable)).To(Succeed())
	Expect(d).To(Resume(probe.Write).Within(d.Timing.ControlPlaneReturn(d.Outage())))
	Expect(d.StaysTrue("it serves other objects, and fails to read the secret", All(exists("kube-root-ca.crt", true), unreadable))).To(Succeed())

	By("putting the key back")
	d.Then(encrypt)
	Expect(d).To(Resume(probe.Write).Within(d.Timing.ControlPlaneReturn(d.Outage())))
	Expect(d.Attempt("read the secret again", readSecret(marker))).To(BeAccepted())
	Expect(d.Attempt("delete the secret", deleteSecret)).To(BeAccepted())
	d.Undo()
	Expect(d).To(Resume(probe.Write).Within(d.Timing.ControlPlaneReturn(d.Outage())))
	Expect(d).To(Resume(probe.ServiceAPI).Within(d.Timing.ServiceFindsServer(d.Outage())))
}

// takeEncryptionAway removes the key when the spec is over. Where that has failed, there may be a secret
// that nobody can read or delete without it.
func takeEncryptionAway(d *Drill, master *clusters.Node) {
	DeferCleanup(func(ctx SpecContext) {
		if _, err := master.Exec(ctx, "rm", "-f", encryptionPath); err != nil || CurrentSpecReport().Failed() {
			d.EndsHere()
		}
	})
}

// inData lists the files with the text $2 among those of etcd's data $1.
const inData = `grep -rlaF -- "$2" "$1/member"; [ $? -lt 2 ]`

// onDisk fails unless a text is in what a member of etcd stores, or is not.
func onDisk(ctx context.Context, member clusters.Instance, text string, want bool) error {
	files, err := member.Node.Exec(ctx, "sh", "-c", inData, "sh", clusters.EtcdData, text)
	if err != nil {
		return err
	}
	return Unless((len(files) > 0) == want, fmt.Errorf("the files that have it are %q", files))
}

// inSnapshot fails unless a text is in a snapshot that nobody has encrypted, or is not.
func inSnapshot(ctx context.Context, d *Drill, member clusters.Instance, text string, want bool) error {
	snapshot, err := snapshotOf(ctx, d, member)
	if err != nil {
		return err
	}
	return Unless(bytes.Contains(snapshot, []byte(text)) == want, fmt.Errorf("the snapshot has %d bytes", len(snapshot)))
}

const secret = "attempt-secret"

func createSecret(value string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secret}, StringData: map[string]string{"marker": value}}
		_, err := c.CoreV1().Secrets(Namespace).Create(ctx, object, metav1.CreateOptions{})
		return err
	}
}

// readSecret fails unless the secret has this value.
func readSecret(want string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		object, err := c.CoreV1().Secrets(Namespace).Get(ctx, secret, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return Unless(string(object.Data["marker"]) == want, errors.New("it has another value"))
	}
}

// unreadable fails unless the API server itself says that it failed to read the secret.
func unreadable(ctx context.Context, c kubernetes.Interface) error {
	_, err := c.CoreV1().Secrets(Namespace).Get(ctx, secret, metav1.GetOptions{})
	answer, ok := errors.AsType[*apierrors.StatusError](err)
	return Unless(ok && answer.ErrStatus.Code == http.StatusInternalServerError, err)
}

func deleteSecret(ctx context.Context, c kubernetes.Interface) error {
	return c.CoreV1().Secrets(Namespace).Delete(ctx, secret, metav1.DeleteOptions{})
}
