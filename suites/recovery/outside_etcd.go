package recovery

import (
	"context"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: beside etcd, the certificates and keys of the authorities, the API server, its
// client of kubelets, service accounts and the front proxy have to be backed up (A:L103). Each
// experiment ends with the control: with what was saved nobody has to join again.
var _ = Describe("A control plane that has kept etcd and lost", Topology("single-master"), Nightly, Runbook, Component(clusters.APIServer), func() {
	const topology = "single-master"

	It("its authority is a stranger to every kubelet and every kubeconfig", Claims("DR-08"), func(ctx SpecContext) {
		d := On(ctx, topology)
		before, trusted := d.RESTConfig(d.Front()), namedAuthorities(ctx, d)
		Expect(acquainted(ctx, d, friends)).To(Succeed())
		putBack := clusterAuthority.remake(ctx, d)

		Expect(d.BecomesTrue("an administrator of before does not know the API server", d.Timing.StaticPodReturn(), answeredByAStranger(before))).To(Succeed())
		d.Authorize(administrator(ctx, d))
		after := d.RESTConfig(d.Front())
		Expect(d.BecomesTrue("one with a new kubeconfig does", d.Timing.StaticPodReturn(), answered(after, http.StatusOK))).To(Succeed())
		Expect(d.BecomesTrue("the API server does not know the one of before", d.Timing.Noticed(),
			answered(trusting(before, after.CAData), http.StatusUnauthorized))).To(Succeed())
		Expect(acquainted(ctx, d, strangers)).To(Succeed())
		Expect(d).To(MarkNotReady(d.Nodes...).Within(unheard(d.Timing)))
		for _, name := range []probe.Name{probe.Write, probe.CachedRead, probe.ServiceAPI} {
			Expect(d).To(Lose(name).Within(d.Timing.Noticed()))
		}
		Expect(d).To(KeepServing(probe.Workload))
		Expect(d).To(KeepServing(probe.Service))

		putBack()
		d.Authorize(before)
		nobodyJoinsAgain(ctx, d, time.Now())
		Expect(d.BecomesTrue("pods are told of the saved authority again", d.Timing.ControlPlaneReturn(d.Outage()), published(before.CAData))).To(Succeed())
		forget(d, trusted)
	})

	It("the key of its service accounts accepts no token of before, and certificates go on", Claims("DR-08"), func(ctx SpecContext) {
		d := On(ctx, topology)
		master := d.With(clusters.ControlPlane)[0]
		account, saved := serviceAccount(ctx, d), savedBefore(ctx, d, master)
		Expect(d.BecomesTrue("the API server knows a token", d.Timing.Noticed(), answered(account, http.StatusOK))).To(Succeed())
		d.Inject(fault.LoseSigningKey(d.Cluster).Losing(clusters.APIServer, clusters.ControllerManager))

		Expect(d.BecomesTrue("it does not know the token any more", d.Timing.Noticed(), answered(account, http.StatusUnauthorized))).To(Succeed())
		Expect(d).To(Lose(probe.ServiceAPI).Within(d.Timing.Noticed()))
		comesThrough(d, time.Now())
		reaches(d)

		bringBack(ctx, d, saved, master)
		d.Undo() // closes the fault: the key is there already
		nobodyJoinsAgain(ctx, d, time.Now())
		Expect(d.BecomesTrue("it knows the token again", d.Timing.Noticed(), answered(account, http.StatusOK))).To(Succeed())
	})

	// Servers behind the front proxy read in a configmap whom to trust, and follow its changes.
	// The API server itself trusts a front proxy in the same way, by a file, so that it shows what
	// becomes of a server that was given the old authority.
	It("the authority of its front proxy misses nothing, and tells servers behind it of another one", Claims("DR-08"), func(ctx SpecContext) {
		d := On(ctx, topology)
		old, trusted := proxy(ctx, d), namedAuthorities(ctx, d)
		Expect(d.BecomesTrue("the API server takes the front proxy's word", d.Timing.Noticed(), answered(old, http.StatusOK))).To(Succeed())
		putBack := frontProxy.remake(ctx, d)

		nobodyJoinsAgain(ctx, d, time.Now())
		Expect(d.BecomesTrue("it does not take that of the front proxy of before", d.Timing.Noticed(), answered(old, http.StatusUnauthorized))).To(Succeed())
		Expect(d.BecomesTrue("it takes that of the new one", d.Timing.Noticed(), answered(proxy(ctx, d), http.StatusOK))).To(Succeed())
		Expect(d.BecomesTrue("servers behind it are told of the new authority beside the old one", d.Timing.Noticed(), vouchesFor(old, proxy(ctx, d)))).To(Succeed())

		putBack()
		nobodyJoinsAgain(ctx, d, time.Now())
		Expect(d.BecomesTrue("the API server takes the word of the front proxy of before again", d.Timing.Noticed(), answered(old, http.StatusOK))).To(Succeed())
		forget(d, trusted)
	})

	It("its certificate for kubelets can neither run a command in a container nor read its log", Claims("DR-08"), func(ctx SpecContext) {
		d := On(ctx, topology)
		reaches(d)
		putBack := kubeletClient.remake(ctx, d)

		comesThrough(d, time.Now())
		Expect(d).To(Resume(probe.ServiceAPI).Within(d.Timing.ServiceFindsServer(d.Outage())))
		Expect(acquainted(ctx, d, refusedByKubelets)).To(Succeed())
		for _, r := range reach {
			Expect(d.Told("nobody can "+r.what, Unless(r.through(d)(ctx, nil) != nil, nil))).To(Succeed())
		}

		putBack()
		nobodyJoinsAgain(ctx, d, time.Now())
	})
})

// unheard bounds when nodes are called not ready that a new control plane does not know: its
// leaders have to wait for leases first, and then for the nodes' grace period.
func unheard(t clusters.Timing) clusters.Bounds {
	silent := t.NodeNotReady()
	return clusters.Bounds{Lower: silent.Lower, Upper: t.RestoredInAll().Upper + silent.Upper}
}

// comesThrough expects that the administrator, the leaders and, from an instant on, the
// kubelets come through to the API, and that pods have run on.
func comesThrough(d *Drill, since time.Time) {
	GinkgoHelper()
	for _, name := range []probe.Name{probe.Write, probe.CachedRead, probe.Schedule, probe.Reconcile} {
		Expect(d).To(Resume(name).Within(d.Timing.ControlPlaneReturn(d.Outage())))
	}
	Expect(d.BecomesTrue("every node has connected again", d.Timing.NodeReturn(), AllNodesConnected(since))).To(Succeed())
	Expect(d).To(KeepServing(probe.Workload))
}

// nobodyJoinsAgain expects that kubelets, tokens and who asks kubelets through the API are
// known again without being told anything.
func nobodyJoinsAgain(ctx context.Context, d *Drill, since time.Time) {
	GinkgoHelper()
	comesThrough(d, since)
	Expect(d).To(Resume(probe.ServiceAPI).Within(d.Timing.ServiceFindsServer(d.Outage())))
	Expect(d).To(Resume(probe.Service).Within(d.Timing.NodeReturn()))
	reaches(d)
	Expect(acquainted(ctx, d, friends)).To(Succeed())
}

// reach is what a person does with a pod's kubelet by way of the API server.
var reach = []errand{
	{"run a command in a container", "exec ds/kube-proxy -- /usr/local/bin/kube-proxy --version"},
	{"read a container's log", "logs ds/kube-proxy --tail=1"},
}

// errand is something that kubectl does.
type errand struct{ what, kubectl string }

// through fails unless the administrator on the master can do it.
func (e errand) through(d *Drill) Request { return e.as("admin.conf", d) }

// as fails unless who has a kubeconfig of the master's can do it.
func (e errand) as(kubeconfig string, d *Drill) Request {
	argv := append([]string{"kubectl", "--kubeconfig=/etc/kubernetes/" + kubeconfig, "--namespace=kube-system"}, strings.Fields(e.kubectl)...)
	return func(ctx context.Context, _ kubernetes.Interface) error {
		_, err := d.With(clusters.ControlPlane)[0].Exec(ctx, argv...)
		return err
	}
}

// reaches expects that all of it can be done.
func reaches(d *Drill) {
	GinkgoHelper()
	for _, r := range reach {
		Expect(d.BecomesTrue("one can "+r.what, d.Timing.NodeReturn(), r.through(d))).To(Succeed())
	}
}
