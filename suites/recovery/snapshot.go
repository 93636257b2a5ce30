package recovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// Document A: a snapshot of etcd holds the complete state of Kubernetes (A:L99-100). What is kept
// elsewhere is another matter (DR-07, DR-08).
var _ = Describe("The snapshot in a backup", Topology("single-master"), Nightly, Runbook, Component(clusters.Etcd), func() {
	It("holds everything that etcd had at its revision", Claims("DR-02"), func(ctx SpecContext) {
		snapshotIsComplete(On(ctx, "single-master"))
	})
})

// snapshotIsComplete lets etcd itself sum up what it has and what is restored: its hash is of every
// key and every value, whatever Kubernetes calls them.
func snapshotIsComplete(d *Drill) {
	GinkgoHelper()
	var live, restored contents
	Expect(d.BecomesTrue("a snapshot is restored into an empty folder", d.Timing.Restored(), func(ctx context.Context, _ kubernetes.Interface) (err error) {
		live, restored, err = backedUp(ctx, d, d.EtcdMembers()[0])
		return err
	})).To(Succeed())
	Expect(d.Saw("what is restored has the hash that the member has at the same revision",
		fmt.Sprintf("restored it has %s, and the member %s", restored, live), Unless(restored == live, nil))).To(Succeed())
}

// contents are what etcd's hash sums up: all revisions up to one, but for those that were compacted.
type contents struct {
	Hash      uint32 `json:"hash"`
	Revision  int64  `json:"hashRevision"`
	Compacted int64  `json:"compactRevision"`
}

func (c contents) String() string {
	return fmt.Sprintf("the hash %08x at revision %d, compacted up to %d", c.Hash, c.Revision, c.Compacted)
}

// backedUp takes a backup, and looks at what the member has at its revision and at what is restored.
// Where etcd was compacted in between, these hashes cannot be compared.
func backedUp(ctx context.Context, d *Drill, member clusters.Instance) (live, restored contents, err error) {
	b, err := takeBackup(ctx, member.Node)
	if err != nil {
		return live, restored, err
	}
	if live, err = contentsOf(ctx, d, member, int64(b.revision)); err != nil {
		return live, restored, err
	}
	if restored, err = b.contents(ctx, member.Node); err != nil {
		return live, restored, err
	}
	return live, restored, Unless(restored.Compacted == live.Compacted, errors.New("etcd was compacted after the snapshot"))
}

// contentsOf asks a member what it has at a revision.
func contentsOf(ctx context.Context, d *Drill, member clusters.Instance, revision int64) (contents, error) {
	client, err := d.EtcdClient(ctx, member)
	if err != nil {
		return contents{}, err
	}
	answer, err := client.HashKV(ctx, client.Endpoints()[0], revision)
	if err != nil {
		return contents{}, fmt.Errorf("hash of %s at revision %d: %w", member, revision, err)
	}
	return contents{answer.Hash, answer.HashRevision, answer.CompactRevision}, nil
}

// contentsScript restores the snapshot in the archive $1, with the key $2 to it, into an empty folder,
// and prints what is there then.
const contentsScript = `set -e
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
openssl cms -decrypt -binary -inform DER -in "$1" -inkey "$2" | tar -C "$work" -xf - etcd.db
etcdutl snapshot restore "$work/etcd.db" --data-dir "$work/restored" > "$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; exit 1; }
etcdutl hashkv "$work/restored/member/snap/db" --write-out=json
`

// contents restores the snapshot on a machine, and tells what is in it.
func (b backup) contents(ctx context.Context, n *clusters.Node) (c contents, err error) {
	said, err := b.use(ctx, contentsScript, n)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal([]byte(said), &c); err != nil {
		return c, fmt.Errorf("hash of the restored snapshot, %q: %w", said, err)
	}
	return c, nil
}
