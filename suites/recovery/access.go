package recovery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: kubeconfigs, addresses and the load balancer's configuration are part of what has to be
// recovered, too (A:L104-109). None of it is in etcd.
var _ = Describe("A control plane that is well", Nightly, func() {
	It("lets nobody in without the administrator's kubeconfig, until its authority issues another", Topology("single-master"), Claims("DR-09"), func(ctx SpecContext) {
		reissueTheKubeconfig(ctx, On(ctx, "single-master"))
	})

	It("is known at its own address only", Topology("single-master"), Claims("DR-09"), func(ctx SpecContext) {
		d := On(ctx, "single-master")
		master := d.With(clusters.ControlPlane)[0]
		Expect(d.Told("at its address its certificates are good, those of API server and etcd", reached(ctx, master, master.Address, "0 0"))).To(Succeed())
		Expect(d.Told("at another one that of the API server does not fit, and etcd does not listen", reached(ctx, master, anotherAddress, "60 7"))).To(Succeed())
	})

	It("is out of reach for clients and workers when its load balancer has lost its configuration", Topology("multi-master"), Claims("DR-09"), Component(clusters.Envoy), func(ctx SpecContext) {
		loseTheBalancersConfiguration(ctx, On(ctx, "multi-master"))
	})
})

// readSecrets is something that an administrator may do, and a node may not.
var readSecrets = errand{"read secrets", "get secrets"}

const (
	// kubeconfigs are those of administrators, below /etc/kubernetes.
	kubeconfigs = "*admin.conf"
	// saveScript prints the files of the patterns in $1, below /etc/kubernetes, as an archive.
	saveScript = `cd /etc/kubernetes && tar -c $1`
	// reissueScript issues a kubeconfig to the administrator with the files $2 of the authority. $1
	// is kubeadm's configuration.
	reissueScript = `set -e
authority=$(mktemp -d)
trap 'rm -rf "$authority"' EXIT
for file in $2; do cp -p "/etc/kubernetes/pki/$file" "$authority/"; done
sed "/^kind: ClusterConfiguration/a certificatesDir: $authority" "$1" > "$authority/kubeadm.conf"
kubeadm init phase kubeconfig admin --config="$authority/kubeadm.conf" > /dev/null
`
)

// reissueTheKubeconfig loses the administrator's kubeconfig on the master. The probes go on to use
// another copy of it: nothing revokes a certificate.
func reissueTheKubeconfig(ctx context.Context, d *Drill) {
	GinkgoHelper()
	master := d.With(clusters.ControlPlane)[0]
	Expect(d.BecomesTrue("the administrator may read secrets", d.Timing.Noticed(), readSecrets.through(d))).To(Succeed())
	saved, err := master.Exec(ctx, "sh", "-c", saveScript, "sh", kubeconfigs)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx SpecContext) {
		if _, err := master.ExecInput(ctx, bytes.NewReader(saved), "tar", "-x", "-C", "/etc/kubernetes"); err != nil {
			d.EndsHere()
		}
	})
	_, err = master.Exec(ctx, "sh", "-c", loseScript, "sh", kubeconfigs)
	Expect(d.Told("the administrator's kubeconfigs are lost", err)).To(Succeed())

	Expect(d.Told("nobody is the administrator on the master", fails(readSecrets.through(d)(ctx, nil), "no such file"))).To(Succeed())
	Expect(d.Told("as the node itself one may not read secrets", fails(readSecrets.as("kubelet.conf", d)(ctx, nil), "secrets is forbidden"))).To(Succeed())
	for _, name := range []probe.Name{probe.Write, probe.Schedule, probe.Reconcile, probe.ServiceAPI, probe.Workload} {
		Expect(d).To(KeepServing(name))
	}
	_, err = master.Exec(ctx, "sh", "-c", reissueScript, "sh", clusters.KubeadmConfig, "ca.crt")
	Expect(d.Told("without the authority's key nobody can issue another", fails(err, "external CA"))).To(Succeed())
	Expect(d.Told("there is still none", fails(readSecrets.through(d)(ctx, nil), "no such file"))).To(Succeed())

	d.BeginRepair()
	_, err = master.Exec(ctx, "sh", "-c", reissueScript, "sh", clusters.KubeadmConfig, "ca.crt ca.key")
	Expect(d.Told("the authority issues another", err)).To(Succeed())
	Expect(d.BecomesTrue("with that the administrator may read secrets", d.Timing.Noticed(), readSecrets.through(d))).To(Succeed())
	Expect(d.BecomesTrue("who has the lost one is let in as before", d.Timing.Noticed(), answered(d.RESTConfig(d.Front()), http.StatusOK))).To(Succeed())
}

// fails fails unless something has failed with a complaint.
func fails(err error, complaint string) error {
	if err == nil {
		return errors.New("it did not fail")
	}
	return Unless(strings.Contains(err.Error(), complaint), err)
}

// anotherAddress is one of every machine, and in no certificate.
const anotherAddress = "127.0.0.2"

// reachScript asks at the address $1 for the API server and for the member of etcd, as a client of
// each, and prints what curl says: 0 for an answer, 7 where nobody listens, and 60 for a
// certificate that is not good.
const reachScript = `cd /etc/kubernetes/pki
quietly='curl --silent --output /dev/null --max-time 10'
$quietly --cacert ca.crt "https://$1:6443/livez"
api=$?
$quietly --cacert etcd/ca.crt --cert etcd/healthcheck-client.crt --key etcd/healthcheck-client.key "https://$1:2379/health"
echo $api $?
`

// reached fails unless both answers at an address are those wanted.
func reached(ctx context.Context, master *clusters.Node, address, want string) error {
	out, err := master.Exec(ctx, "sh", "-c", reachScript, "sh", address)
	if answers := strings.TrimSpace(string(out)); err == nil && answers != want {
		err = fmt.Errorf("at %s curl says %q, want %q", address, answers, want)
	}
	return err
}

// loseTheBalancersConfiguration restarts the load balancer twice, with its configuration and without.
func loseTheBalancersConfiguration(ctx context.Context, d *Drill) {
	GinkgoHelper()
	balancer := d.Instances(clusters.Envoy)
	By("restarting it")
	d.Inject(fault.Kill(balancer...).Losing(clusters.Envoy))
	Expect(d).To(Pause(probe.Write).Within(d.Timing.LoadBalancerReturn()))
	d.Undo()
	d.AwaitHealed()

	By("restarting it when it does not know the masters any more")
	putBack, err := takeOut(ctx, d, d.With(clusters.ControlPlane))
	Expect(d.Told("its configuration names no master", err)).To(Succeed())
	d.Then(fault.Kill(balancer...).Losing(clusters.Envoy))
	Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
	for _, name := range []probe.Name{probe.CachedRead, probe.ServiceAPI, probe.Workload} {
		Expect(d).To(KeepServing(name))
	}
	// It follows its configuration, so that workers may be cut off sooner than it is restarted.
	Expect(d).To(MarkNotReady(Workers(d.Nodes)...).Within(clusters.Bounds{Upper: d.Timing.NodeNotReady().Upper}))
	for _, component := range []clusters.Component{clusters.Scheduler, clusters.ControllerManager} {
		Expect(d.LeaseKept(component)).To(Succeed())
	}

	By("giving it its configuration back")
	d.Undo() // closes the fault: the load balancer runs
	Expect(d.Told("its configuration is put back", putBack(ctx))).To(Succeed())
	Expect(d).To(Resume(probe.Write).Within(d.Timing.LoadBalancerReturn()))
	Expect(d.BecomesTrue("the workers are called ready again", d.Timing.NodeReturn(), AllNodesReady)).To(Succeed())
}
