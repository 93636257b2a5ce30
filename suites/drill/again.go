package drill

import (
	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
)

// BuildAgain takes the cluster down, after the audit of what was acknowledged on it, and builds
// another of its layout. The experiment, which has broken nothing yet, goes on there: what was
// observed before it has no part in the record.
func (d *Drill) BuildAgain() {
	ginkgo.GinkgoHelper()
	gomega.Expect(d.injections).To(gomega.BeEmpty(), "a cluster that was broken is not taken down before it is restored")
	bench.spoiled = "its layout is built again"
	gomega.Expect(d.audit(d.ctx)).To(gomega.Succeed())
	bench.Progress.Printf("%s: %s is built again", d.experiment.ID, d.Topology.Name)
	d.start(d.Topology.Name)
}
