package recovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: to recover etcd from copies of its disks can be problematic (A:L100-101). Each
// member's copy is of another instant: who has the older ones first goes on without what the
// newest has.
var _ = Describe("Copies of the data of etcd's members", Topology("bare-etcd-3"), Nightly, Component(clusters.Etcd), func() {
	It("that were taken one after the other are no backup, and a snapshot of one instant is", Claims("DR-05"), func(ctx SpecContext) {
		copiesAreNoBackup(ctx, On(ctx, "bare-etcd-3"))
	})
})

// batch is how many keys are written before each copy.
const batch = 50

// copiesAreNoBackup starts the same copies in two orders, and then a snapshot. They run on the
// machines of the members, which are stopped meanwhile: they have the same names and addresses,
// and another port for clients, so that no probe takes them for the members.
func copiesAreNoBackup(ctx context.Context, d *Drill) {
	GinkgoHelper()
	members := d.EtcdMembers()
	DeferCleanup(func(ctx SpecContext) {
		if err := removeCopies(ctx, members); err != nil {
			d.EndsHere()
		}
	})
	var snapshot []byte
	for n, m := range members {
		Expect(d.Told(fmt.Sprintf("%d keys are acknowledged, and then %s is copied", (n+1)*batch, m), writeAndCopy(ctx, d, m, n))).To(Succeed())
		if n == 1 {
			var err error
			snapshot, err = snapshotOf(ctx, d, m)
			Expect(d.Told("a snapshot is taken", err)).To(Succeed())
		}
	}
	d.Inject(fault.StopService(members...).Losing(clusters.Etcd))
	Expect(d).To(Lose(probe.Put).Within(d.Timing.Noticed()))

	oldest := startCopies(ctx, d, "copied", members[0], members[1], members[2])
	Expect(d.Saw("started from the older copies, members refuse or what was acknowledged before the newest copy is lost",
		oldest.String(), Unless(oldest.clean(3*batch) != nil, nil))).To(Succeed())
	newest := startCopies(ctx, d, "copied", members[2], members[0], members[1])
	Expect(d.Saw("started with the newest copy, the same copies come to another end", newest.String(), Unless(!newest.like(oldest), nil))).To(Succeed())

	Expect(d.Told("the snapshot is restored for every member", restoreSnapshot(ctx, snapshot, members))).To(Succeed())
	control := startCopies(ctx, d, "snapshot", members[0], members[1], members[2])
	Expect(d.Saw("from a snapshot all members start, with the same data, and with every key of before",
		control.String(), control.clean(2*batch))).To(Succeed())

	Expect(removeCopies(ctx, members)).To(Succeed())
	d.Undo()
	Expect(d).To(Resume(probe.Put).Within(d.Timing.MemberReturn()))
	Expect(d.Told("what was written is deleted", deleteKeys(ctx, d, members[0]))).To(Succeed())
}

// copiedKeys are before the keys whose fate is of interest.
const copiedKeys = "/copied/"

// writeAndCopy writes the n-th batch through a member, and then copies its data while it serves.
func writeAndCopy(ctx context.Context, d *Drill, m clusters.Instance, n int) error {
	client, err := d.EtcdClient(ctx, m)
	if err != nil {
		return err
	}
	for k := range batch {
		if _, err := client.Put(ctx, fmt.Sprintf("%s%d-%d", copiedKeys, n, k), "acknowledged"); err != nil {
			return err
		}
	}
	_, err = m.Node.Exec(ctx, "sh", "-c", copyScript, "sh", clusters.EtcdData, copiesPath)
	return err
}

func snapshotOf(ctx context.Context, d *Drill, m clusters.Instance) ([]byte, error) {
	client, err := d.EtcdClient(ctx, m)
	if err != nil {
		return nil, err
	}
	stream, err := client.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	return io.ReadAll(stream)
}

func deleteKeys(ctx context.Context, d *Drill, m clusters.Instance) error {
	client, err := d.EtcdClient(ctx, m)
	if err == nil {
		_, err = client.Delete(ctx, copiedKeys, clientv3.WithPrefix())
	}
	return err
}

// copiesPath is where the copies are on each node, each in a directory of its own.
const copiesPath = "/root/etcd-copies"

// copyNumber is that of a copy's process: it has other ports than the member.
const copyNumber = 2

const (
	// copyScript copies the data in $1 to the directory $2.
	copyScript = `mkdir -p "$2" && mkdir -m 700 "$2/copied" && cp -a "$1/member" "$2/copied/"`
	// fromSnapshotScript restores the snapshot in the directory $1, for the member whose service
	// this machine has.
	fromSnapshotScript = `set -e
flag() { sed -n "s/^ *--$1=\([^ ]*\).*/\1/p" /etc/systemd/system/etcd.service; }
etcdutl snapshot restore "$1/snapshot.db" --data-dir "$1/snapshot" --name "$(flag name)" \
  --initial-cluster "$(flag initial-cluster)" --initial-advertise-peer-urls "$(flag initial-advertise-peer-urls)" > "$1/log" 2>&1 ||
  { tail -n 5 "$1/log" >&2; exit 1; }
`
	// startCopyScript starts an etcd of the member's settings from the data $2 in the directory $1,
	// as the copy $3, with the ports $4 for clients and $5 for metrics.
	startCopyScript = stopCopy + `set -e
cp -a "$1/$2" "$1/running"
sed -e "s|--data-dir=[^ ]*|--data-dir=$1/running|" -e "s/:2379/:$4/g" -e "s/:2381/:$5/g" -e 's/^Restart=.*/Restart=no/' \
  -e "/^\[Service\]/a Environment=` + clusters.CopyVariable + `=$3" /etc/systemd/system/etcd.service > /run/systemd/system/etcd-copy.service
systemctl daemon-reload
systemctl start etcd-copy.service
`
	// stopCopy ends what startCopyScript has started in the directory $1.
	stopCopy = `systemctl stop etcd-copy.service 2> /dev/null
systemctl reset-failed etcd-copy.service 2> /dev/null
rm -rf "$1/running"
`
	removeCopiesScript = stopCopy + `rm -rf "$1" /run/systemd/system/etcd-copy.service
systemctl daemon-reload
`
	// lastWordsScript prints why the copy that was started last has ended.
	lastWordsScript = `journalctl --no-pager --quiet --output=cat "_SYSTEMD_INVOCATION_ID=$(systemctl show --property=InvocationID --value etcd-copy.service)" |
  grep -e '"level":"panic"' -e '"level":"fatal"' -e '^panic: ' | sed 's/.*"msg":"\([^"]*\)".*/\1/' | tail -n 1 | cut -c -300`
)

func restoreSnapshot(ctx context.Context, snapshot []byte, members clusters.Instances) error {
	for _, m := range members {
		if err := m.Node.WriteFile(ctx, copiesPath+"/snapshot.db", snapshot); err != nil {
			return err
		}
		if _, err := m.Node.Exec(ctx, "sh", "-c", fromSnapshotScript, "sh", copiesPath); err != nil {
			return fmt.Errorf("restore the snapshot for %s: %w", m, err)
		}
	}
	return nil
}

// removeCopies ends the copies, and removes everything that was made for them.
func removeCopies(ctx context.Context, members clusters.Instances) error {
	var errs []error
	for _, m := range members {
		_, err := m.Node.Exec(ctx, "sh", "-c", removeCopiesScript, "sh", copiesPath)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// startCopies starts two members from what was copied or restored, which are a majority, and when
// they serve the last one, and returns what became of all. It ends those that ran before.
func startCopies(ctx context.Context, d *Drill, from string, first, second, last clusters.Instance) (o outcome) {
	GinkgoHelper()
	for _, m := range []clusters.Instance{first, second, last} {
		_, err := m.Node.Exec(ctx, "sh", "-c", stopCopy, "sh", copiesPath)
		Expect(err).NotTo(HaveOccurred())
	}
	o.hashes, o.refused = map[string]uint32{}, map[string]string{}
	for _, group := range []clusters.Instances{{first, second}, {last}} {
		for _, m := range group {
			Expect(startCopy(ctx, m, from)).To(Succeed())
		}
		for _, m := range group {
			if err := awaitCopy(ctx, d, m); err != nil {
				o.refused[m.Node.Name] = err.Error()
			}
		}
	}
	o.look(ctx, d, first, second, last)
	return o
}

// copyOf is the process that runs from a member's copy.
func copyOf(m clusters.Instance) clusters.Instance {
	return clusters.Instance{Component: clusters.Etcd, Node: m.Node, Copy: copyNumber}
}

func startCopy(ctx context.Context, m clusters.Instance, from string) error {
	port := copyOf(m).Port()
	_, err := m.Node.Exec(ctx, "sh", "-c", startCopyScript, "sh", copiesPath, from, strconv.Itoa(copyNumber), strconv.Itoa(port), strconv.Itoa(port+2))
	return err
}

// awaitCopy waits until a copy has everything that the others have, and fails with its last words
// when it ends.
func awaitCopy(ctx context.Context, d *Drill, m clusters.Instance) error {
	ctx, cancel := context.WithTimeout(ctx, d.Timing.MemberReturn().Upper)
	defer cancel()
	ended := false
	err := clusters.Await(ctx, 250*time.Millisecond, copyOf(m).String(), func(ctx context.Context) error {
		if _, err := copyOf(m).Process(ctx); errors.Is(err, clusters.ErrNoProcess) {
			ended = true
			return nil
		}
		_, _, err := countKeys(ctx, d, m)
		return err
	})
	if !ended {
		return err
	}
	said, err := m.Node.Exec(ctx, "sh", "-c", lastWordsScript)
	return errors.Join(fmt.Errorf("it ended: %s", said), err)
}

// countKeys asks a copy how many of the keys there are, and at which revision: an answer needs the
// majority, and that this one has what the majority has.
func countKeys(ctx context.Context, d *Drill, m clusters.Instance) (keys, revision int64, err error) {
	client, err := d.EtcdClient(ctx, copyOf(m))
	if err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	answer, err := client.Get(ctx, copiedKeys, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, 0, err
	}
	return answer.Count, answer.Header.Revision, nil
}
