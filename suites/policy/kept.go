package policy

import (
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// theyAreKept is what every list of rights has to pass: it holds through each API server, and
// the loss and the return of one of them gives nobody more.
func theyAreKept(d *Drill, r *rights) {
	GinkgoHelper()
	Expect(d.BecomesTrue("through every API server exactly what is granted is allowed", d.Timing.Binding(), r.exactly(d.APIServers()...))).To(Succeed())
	lost, others := bystander(d)
	d.Inject(fault.Stop(lost))
	Expect(d.StaysTrue("so it is through the others while one is down", r.exactly(others...))).To(Succeed())

	d.Undo()
	Expect(d.BecomesTrue("so it is through that one when it is back", d.Timing.StaticPodReturn(), r.exactly(lost.Node.APIServer()))).To(Succeed())
	Expect(r.told(d)).To(Succeed())
	Expect(d).To(Resume(probe.Ready).On(lost.Node).Within(d.Timing.StaticPodReturn()))
}

// bystander is an API server beside which nobody leads, so that its loss moves no leader, with
// the endpoints of the others.
func bystander(d *Drill) (lost clusters.Instance, others []clusters.Endpoint) {
	GinkgoHelper()
	leaders := []*clusters.Node{d.Leader(clusters.Scheduler).Node, d.Leader(clusters.ControllerManager).Node}
	servers := d.Instances(clusters.APIServer)
	at := slices.IndexFunc(servers, func(i clusters.Instance) bool { return !slices.Contains(leaders, i.Node) })
	Expect(at).To(BeNumerically(">=", 0), "three masters have at most two leaders")
	return servers[at], slices.Delete(d.APIServers(), at, at+1)
}

// administrator is a subject who may do anything, so that only admission can say no.
const administrator = "an administrator"

func asAdministrator(d *Drill) subjects { return subjects{administrator: d.RESTConfig} }
