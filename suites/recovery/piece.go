package recovery

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
)

// A piece is a part of what a control plane keeps outside of etcd.
type piece struct {
	name string
	// files are patterns of the shell, below /etc/kubernetes.
	files string
	// anew is a script that makes it anew, with kubeadm's configuration of the node in $1.
	anew string
	// readers read it when they start.
	readers []clusters.Component
}

var (
	// clusterAuthority has with it what it has signed for the control plane. Kubelets have
	// theirs elsewhere, on workers too, where who sets a master up does not come.
	clusterAuthority = piece{
		name:  "the cluster's authority",
		files: "pki/ca.* pki/apiserver.* pki/apiserver-kubelet-client.* admin.conf controller-manager.conf scheduler.conf",
		anew: phases("certs ca", "certs apiserver", "certs apiserver-kubelet-client",
			"kubeconfig admin", "kubeconfig controller-manager", "kubeconfig scheduler"),
		readers: []clusters.Component{clusters.APIServer, clusters.ControllerManager, clusters.Scheduler},
	}
	frontProxy = piece{
		name:    "the authority of the front proxy",
		files:   "pki/front-proxy-ca.* pki/front-proxy-client.*",
		anew:    phases("certs front-proxy-ca", "certs front-proxy-client"),
		readers: []clusters.Component{clusters.APIServer},
	}
	// kubeletClient is what the API server shows to kubelets. The cluster's own authority could
	// sign another, and nobody would notice.
	kubeletClient = piece{
		name:    "the certificate for kubelets",
		files:   "pki/apiserver-kubelet-client.*",
		anew:    foreignScript,
		readers: []clusters.Component{clusters.APIServer},
	}
)

// phases is a script that runs phases of kubeadm init. kubeadm makes what is missing, and
// keeps what is there.
func phases(names ...string) string {
	script := "set -e\n"
	for _, name := range names {
		script += "kubeadm init phase " + name + ` --config="$1" > /dev/null` + "\n"
	}
	return script
}

// foreignScript makes the certificate for kubelets anew, by an authority that is forgotten.
const foreignScript = `set -e
other=$(mktemp -d)
trap 'rm -rf "$other"' EXIT
sed "/^kind: ClusterConfiguration/a certificatesDir: $other" "$1" > "$other/kubeadm.conf"
for name in ca apiserver-kubelet-client; do
  kubeadm init phase certs "$name" --config="$other/kubeadm.conf" > /dev/null
done
cp -p "$other"/apiserver-kubelet-client.* /etc/kubernetes/pki/
`

// loseScript removes the files of the patterns in $1.
const loseScript = `cd /etc/kubernetes && rm $1`

// remake loses the piece and makes it anew while who reads it is stopped, as somebody does who
// has etcd and no other backup. What it returns puts the piece back from a backup: without that
// the cluster is not used again.
func (p piece) remake(ctx context.Context, d *Drill) (putBack func()) {
	GinkgoHelper()
	master := d.With(clusters.ControlPlane)[0]
	saved := savedBefore(ctx, d, master)
	whole := false
	d.Afterwards(func(context.Context, kubernetes.Interface) error {
		if !whole {
			d.EndsHere()
		}
		return nil
	})
	var readers clusters.Instances
	for _, c := range p.readers {
		readers = append(readers, d.Instances(c)...)
	}
	d.Then(fault.Stop(readers...).Losing(p.readers...))
	_, err := master.Exec(ctx, "sh", "-c", loseScript, "sh", p.files)
	if err == nil {
		_, err = master.Exec(ctx, "sh", "-c", p.anew, "sh", clusters.KubeadmConfig)
	}
	Expect(d.Told(p.name+" is lost and made anew", err)).To(Succeed())
	d.Undo()
	return func() {
		GinkgoHelper()
		bringBack(ctx, d, saved, master)
		whole = true
	}
}

// savedBefore is a backup of a master that has lost nothing, so that the runbook has nothing to put back.
func savedBefore(ctx context.Context, d *Drill, master *clusters.Node) backup {
	GinkgoHelper()
	b, err := takeBackup(ctx, master)
	Expect(d.Told("a backup is taken", err)).To(Succeed())
	said, err := b.use(ctx, restoreAuthoritiesScript, master)
	Expect(d.Told("the runbook leaves a master alone that has lost nothing", refused(said, err, "is as in the archive"))).To(Succeed())
	return b
}

// bringBack runs the runbook, and measures it.
func bringBack(ctx context.Context, d *Drill, b backup, master *clusters.Node) {
	GinkgoHelper()
	d.BeginRepair()
	carryOut(d, "the runbook puts back what was lost", "the API is ready again", d.Timing.Restored(),
		func() (string, error) { return b.use(ctx, restoreAuthoritiesScript, master) })
}
