package hosts

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: tools of one's own have to back the configuration up, and to know its versions
// (A:L115-123). kubeadm keeps it in a configmap, and makes files from it.
var _ = Describe("The configuration that kubeadm keeps in the cluster", Topology("single-host-minimal"), Nightly, Component(clusters.Etcd), func() {
	It("goes back with an older snapshot of etcd while files on disks do not, which an audit notices", Claims("OPS-03"), func(ctx SpecContext) {
		configurationGoesBack(ctx, On(ctx, "single-host-minimal"))
	})
})

// declaredPath is that of the configuration as its owner keeps it.
const declaredPath = "/root/kubeadm-declared.conf"

// configurationGoesBack declares a flag, by way of kubeadm, between a snapshot and its restore.
func configurationGoesBack(ctx context.Context, d *Drill) {
	GinkgoHelper()
	d.EndsHere()
	etcd := d.EtcdMembers()[0]
	master, built := etcd.Node, d.Facts()
	Expect(d.BecomesTrue("the audit has nothing to tell", d.Timing.Binding(), audit(master))).To(Succeed())
	older, err := saveSnapshot(ctx, etcd)
	Expect(d.Told("a snapshot of etcd is taken", err)).To(Succeed())
	Expect(d.Told("a flag is declared, and kubeadm stores the configuration and makes the manifest", declare(ctx, master))).To(Succeed())
	Expect(d.BecomesTrue("the scheduler has the flag, and nothing else is another", d.Timing.StaticPodReturn(), differs(d, built, flagged))).To(Succeed())
	Expect(d.BecomesTrue("the audit has nothing to tell of what was declared", d.Timing.Binding(), audit(master))).To(Succeed())

	d.Inject(fault.Stop(etcd, d.Instances(clusters.APIServer)[0]).Losing(clusters.Etcd, clusters.APIServer))
	Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
	d.Forgo(older.revision, older.taken)
	Expect(d.Told("the snapshot takes the place of etcd's data, and nothing else is restored", restoreSnapshot(ctx, etcd))).To(Succeed())
	d.Undo()
	Expect(d).To(Resume(probe.Write).Within(d.Timing.RestoredInAll()))

	Expect(d.BecomesTrue("the scheduler still has the flag, and nothing else is another", d.Timing.RestoredInAll(), differs(d, built, flagged))).To(Succeed())
	Expect(d.BecomesTrue("the audit tells that the manifest has the flag, of which the cluster knows nothing, and nothing else",
		d.Timing.Binding(), audit(master, "< - "+byHand))).To(Succeed())
	Expect(d.Told("what was declared is stored again", phase(ctx, master, declaredPath, "upload-config", "kubeadm"))).To(Succeed())
	Expect(d.BecomesTrue("the audit has nothing to tell again", d.Timing.Binding(), audit(master))).To(Succeed())
}

// declare adds the flag to the master's configuration, and applies it.
func declare(ctx context.Context, master *clusters.Node) error {
	own, err := ownConfiguration(ctx, master)
	if err != nil {
		return err
	}
	configuration, err := rewrite(own, ofCluster, declareByHand)
	if err != nil {
		return err
	}
	if err := master.WriteFile(ctx, declaredPath, configuration); err != nil {
		return err
	}
	if err := phase(ctx, master, declaredPath, "upload-config", "kubeadm"); err != nil {
		return err
	}
	return phase(ctx, master, declaredPath, ofScheduler...)
}

// audit fails unless the manifests on a master differ in exactly these lines from those that
// kubeadm would make of the configuration in the cluster: < is before a line that is on the disk
// only, > before one that would be made.
func audit(master *clusters.Node, lines ...string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		stored, err := c.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, "kubeadm-config", metav1.GetOptions{})
		if err != nil {
			return err
		}
		own, err := ownConfiguration(ctx, master)
		if err != nil {
			return err
		}
		configuration, err := withCluster(own, stored.Data[ofCluster])
		if err != nil {
			return err
		}
		out, err := master.ExecInput(ctx, bytes.NewReader(configuration), "sh", "-c", auditScript)
		if err != nil {
			return fmt.Errorf("compare the manifests on %s: %w", master.Name, err)
		}
		return OnlyThese(differences(string(out)), lines...)
	}
}

// auditScript lets kubeadm make manifests, elsewhere, of the configuration that it reads, and
// compares them with those that are in use.
const auditScript = `set -e
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
cat > "$work/kubeadm.conf"
KUBEADM_INIT_DRYRUN_DIR="$work" kubeadm init phase control-plane all --config="$work/kubeadm.conf" --dry-run > /dev/null
cd "$work"
for made in kube-*.yaml; do
  diff "/etc/kubernetes/manifests/$made" "$made" || [ $? -eq 1 ]
done
`

// withCluster is a node's configuration with what the cluster stores in place of what it was made from.
func withCluster(own []byte, stored string) ([]byte, error) {
	cluster := document{}
	if err := yaml.Unmarshal([]byte(stored), &cluster); err != nil {
		return nil, fmt.Errorf("the configuration in the cluster: %w", err)
	}
	if cluster["kind"] != ofCluster {
		return nil, fmt.Errorf("the configuration in the cluster is no %s: %q", ofCluster, stored)
	}
	return rewrite(own, ofCluster, func(d document) {
		clear(d)
		maps.Copy(d, cluster)
	})
}

// differences are the lines of diff that are in one of two files, without their indentation.
func differences(diff string) []string {
	var lines []string
	for line := range strings.Lines(diff) {
		if strings.HasPrefix(line, "<") || strings.HasPrefix(line, ">") {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
	}
	return lines
}

// snapshotPath is where the snapshot waits on its node.
const snapshotPath = "/root/older.db"

// snapshot is of a revision of etcd and of an instant.
type snapshot struct {
	revision uint64
	taken    time.Time
}

const (
	saveScript = `set -e
cd /etc/kubernetes/pki/etcd
etcdctl --endpoints="https://127.0.0.1:$2" --cacert=ca.crt --cert=healthcheck-client.crt --key=healthcheck-client.key snapshot save "$1" > /dev/null
etcdutl snapshot status "$1" --write-out=json
`
	// restoreScript puts the snapshot $1 in the place of the data $2 of the member $3, which is
	// stopped, and which its peers know by the URL $4. Revisions far above the former ones, which
	// count as compacted, tell whoever has watched to list everything anew.
	restoreScript = `set -e
etcdutl snapshot restore "$1" --data-dir "$1.restored" --name "$3" --initial-cluster "$3=$4" --initial-advertise-peer-urls "$4" \
  --bump-revision 1000000000 --mark-compacted > /dev/null
rm -r "$2/member"
cp -a "$1.restored/member" "$2/member"
`
)

func saveSnapshot(ctx context.Context, member clusters.Instance) (s snapshot, err error) {
	out, err := member.Node.Exec(ctx, "sh", "-c", saveScript, "sh", snapshotPath, fmt.Sprint(member.Port()))
	if err != nil {
		return s, err
	}
	s.taken = time.Now()
	var status struct{ Revision uint64 }
	if err := json.Unmarshal(out, &status); err != nil {
		return s, fmt.Errorf("status of the snapshot, %q: %w", out, err)
	}
	s.revision = status.Revision
	return s, Unless(s.revision > 0, fmt.Errorf("status of the snapshot: %s", out))
}

func restoreSnapshot(ctx context.Context, member clusters.Instance) error {
	peers := fmt.Sprintf("https://%s:%d", member.Node.Address, member.Port()+1)
	_, err := member.Node.Exec(ctx, "sh", "-c", restoreScript, "sh", snapshotPath, clusters.EtcdData, member.Node.Name, peers)
	return err
}
