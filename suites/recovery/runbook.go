// Package recovery holds the specs of the documents' chapter on disasters (A:L92 to A:L109),
// and the runbooks that it asks for. A runbook is a script that a person can run as it is;
// README tells how. The specs run the same files.
package recovery

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"faultline/clusters"
	. "faultline/suites/drill"
)

var (
	//go:embed backup.sh
	backupScript string
	//go:embed restore.sh
	restoreScript string
	//go:embed restore-authorities.sh
	restoreAuthoritiesScript string
	//go:embed forget-master.sh
	forgetScript string
	//go:embed force-new-cluster.sh
	forceScript string
	//go:embed invite-master.sh
	inviteScript string
	//go:embed join-master.sh
	joinScript string
	//go:embed reclaim-space.sh
	reclaimScript string
	//go:embed replace-device.sh
	replaceScript string
	//go:embed renew-certificates.sh
	renewScript string
)

// Runbook labels the specs that run one of them.
var Runbook = ginkgo.Label("runbook")

// run runs a runbook on a node, as a person would, and returns what it said.
func run(ctx context.Context, n *clusters.Node, script string, args ...string) (string, error) {
	out, err := n.ExecInput(ctx, strings.NewReader(script), append([]string{"sh", "-s", "--"}, args...)...)
	return string(out), err
}

// refused fails unless a runbook has refused, with a complaint, before it changed anything.
func refused(said string, err error, complaint string) error {
	if err == nil {
		return fmt.Errorf("it did not refuse: %s", said)
	}
	text := err.Error() + said
	return Unless(strings.Contains(text, complaint) && strings.Contains(text, "nothing was changed"), err)
}

// refusesOn fails unless a runbook refuses on a node, with a complaint, before it changes anything.
func refusesOn(ctx context.Context, n *clusters.Node, script, complaint string, args ...string) error {
	said, err := run(ctx, n, script, args...)
	return refused(said, err, complaint)
}

// carryOut expects that a runbook succeeds, and measures how long it takes until all is mended.
func carryOut(d *Drill, what, mended string, within clusters.Bounds, runbook func() (said string, err error)) (said string) {
	ginkgo.GinkgoHelper()
	began := time.Now()
	said, err := runbook()
	gomega.Expect(d.Told(what, err)).To(gomega.Succeed(), said)
	gomega.Expect(d.TookToRecover(mended, time.Since(began), within)).To(gomega.Succeed())
	return said
}

// Where the runbooks' files are on a node, while they are there at all.
const (
	archivePath   = "/root/backup.archive"
	recipientPath = "/root/backup.pem"
	keyPath       = "/root/backup.key"
)

// backup is an archive with the key to it. Both are in this process: another failure domain
// than any node.
type backup struct {
	archive, key, recipient []byte
	// revision is that of etcd's snapshot.
	revision uint64
	taken    time.Time
}

// takeBackup runs the runbook on a master, and leaves nothing there.
func takeBackup(ctx context.Context, master *clusters.Node) (b backup, err error) {
	if b.key, b.recipient, err = keyPair(); err != nil {
		return b, err
	}
	if err := master.WriteFile(ctx, recipientPath, b.recipient); err != nil {
		return b, err
	}
	said, err := run(ctx, master, backupScript, archivePath, recipientPath)
	if err != nil {
		return b, fmt.Errorf("back up %s: %w: %s", master.Name, err, said)
	}
	b.taken = time.Now()
	if _, err := fmt.Sscanf(said[strings.LastIndex(said, "revision"):], "revision %d", &b.revision); err != nil {
		return b, fmt.Errorf("back up %s: it said %q: %w", master.Name, said, err)
	}
	if b.archive, err = master.Exec(ctx, "cat", archivePath); err != nil {
		return b, err
	}
	_, err = master.Exec(ctx, "rm", archivePath, recipientPath)
	return b, err
}

// use brings the archive to a machine, runs a runbook there for it, and takes it away again.
func (b backup) use(ctx context.Context, script string, master *clusters.Node) (said string, err error) {
	if err := master.WriteFile(ctx, archivePath, b.archive); err != nil {
		return "", err
	}
	said, err = b.useFile(ctx, script, master, archivePath)
	if _, removed := master.Exec(ctx, "rm", "-f", archivePath); err == nil {
		err = removed
	}
	return said, err
}

// useFile brings the key to a machine, runs a runbook there for an archive that the machine
// has, and takes the key away again.
func (b backup) useFile(ctx context.Context, script string, n *clusters.Node, path string) (said string, err error) {
	if err := n.WriteFile(ctx, keyPath, b.key); err != nil {
		return "", err
	}
	said, err = run(ctx, n, script, path, keyPath)
	if _, removed := n.Exec(ctx, "rm", "-f", keyPath); err == nil {
		err = removed
	}
	return said, err
}

// keyPair is a key and a certificate to encrypt for it.
func keyPair() (key, certificate []byte, err error) {
	private, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "backup"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), KeyUsage: x509.KeyUsageKeyEncipherment,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	encode := func(kind string, bytes []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes})
	}
	return encode("PRIVATE KEY", pkcs8), encode("CERTIFICATE", der), nil
}
