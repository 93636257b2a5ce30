package recovery

import (
	"bytes"
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

// saveScript prints the files of the patterns in $1 as an archive, and loseScript removes them.
const (
	saveScript = `cd /etc/kubernetes && tar -c $1`
	loseScript = `cd /etc/kubernetes && rm $1`
)

// remake loses the piece and makes it anew while who reads it is stopped, as somebody does who
// has etcd and no other backup. What it returns puts the saved piece back: without that the
// cluster is not used again.
func (p piece) remake(ctx context.Context, d *Drill) (putBack func()) {
	GinkgoHelper()
	master := d.With(clusters.ControlPlane)[0]
	saved, err := master.Exec(ctx, "sh", "-c", saveScript, "sh", p.files)
	Expect(err).NotTo(HaveOccurred())
	whole := false
	d.Afterwards(func(context.Context, kubernetes.Interface) error {
		if !whole {
			d.EndsHere()
		}
		return nil
	})
	p.whileStopped(d, p.name+" is lost and made anew", func() error {
		if _, err := master.Exec(ctx, "sh", "-c", loseScript, "sh", p.files); err != nil {
			return err
		}
		_, err := master.Exec(ctx, "sh", "-c", p.anew, "sh", clusters.KubeadmConfig)
		return err
	})
	return func() {
		GinkgoHelper()
		p.whileStopped(d, p.name+" is put back as it was saved", func() error {
			_, err := master.ExecInput(ctx, bytes.NewReader(saved), "tar", "-x", "-C", "/etc/kubernetes")
			return err
		})
		whole = true
	}
}

// whileStopped does something while nobody runs who reads the piece.
func (p piece) whileStopped(d *Drill, what string, do func() error) {
	GinkgoHelper()
	var readers clusters.Instances
	for _, c := range p.readers {
		readers = append(readers, d.Instances(c)...)
	}
	d.Then(fault.Stop(readers...).Losing(p.readers...))
	Expect(d.Told(what, do())).To(Succeed())
	d.Undo()
}
