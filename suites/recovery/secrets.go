package recovery

import (
	"bytes"
	"context"
	"crypto/rand"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// inData tells whether a text is in what the member of etcd on a node stores.
const inData = `grep -rqaF -- "$2" "$1/member"`

// Document A: secrets are in etcd, so its disk and its backups have to be encrypted (A:L86 to
// A:L89, A:L99).
var _ = Describe("A secret", Topology("single-master"), Nightly, Component(clusters.Etcd), func() {
	It("is in clear text on etcd's disk, and not in an encrypted backup", Claims("SEC-07"), func(ctx SpecContext) {
		SecretsAreOnTheDisk(ctx, On(ctx, "single-master"))
	})
})

// SecretsAreOnTheDisk is the experiment of SEC-07; sabotage runs use it too.
func SecretsAreOnTheDisk(ctx context.Context, d *Drill) {
	GinkgoHelper()
	master := d.With(clusters.ControlPlane)[0]
	marker := rand.Text()
	onDisk := func() bool {
		_, err := master.Exec(ctx, "sh", "-c", inData, "sh", clusters.EtcdData, marker)
		return err == nil
	}
	Expect(d.Told("before it is created nobody finds it", Unless(!onDisk(), nil))).To(Succeed())
	Expect(d.Attempt("create a secret", createSecret(marker))).To(BeAccepted())
	Expect(d.Told("whoever has the disk can read it", Unless(onDisk(), nil))).To(Succeed())

	b, err := takeBackup(ctx, master)
	Expect(d.Told("a backup is taken", err)).To(Succeed())
	Expect(d.Told("whoever has the backup cannot", Unless(!bytes.Contains(b.archive, []byte(marker)), nil))).To(Succeed())
	Expect(d.Attempt("delete the secret", deleteSecret)).To(BeAccepted())
}

const secret = "attempt-secret"

func createSecret(value string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secret}, StringData: map[string]string{"marker": value}}
		_, err := c.CoreV1().Secrets(Namespace).Create(ctx, object, metav1.CreateOptions{})
		return err
	}
}

func deleteSecret(ctx context.Context, c kubernetes.Interface) error {
	return c.CoreV1().Secrets(Namespace).Delete(ctx, secret, metav1.DeleteOptions{})
}
