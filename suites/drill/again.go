package drill

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"faultline/clusters"
)

// BuildAgain takes the cluster down, after the proof that what was broken on it is mended and the
// audit of what was acknowledged, and builds another of its layout. The experiment goes on there:
// what was broken and observed before has no part in the record.
func (d *Drill) BuildAgain() {
	ginkgo.GinkgoHelper()
	d.checkPromises()
	if len(d.injections) > 0 {
		gomega.Expect(d.restore(d.ctx)).To(gomega.Succeed(), "a cluster that was broken is not taken down before it is restored")
	}
	bench.spoiled = "its layout is built again"
	gomega.Expect(d.audit(d.ctx)).To(gomega.Succeed())
	d.injections, d.phase, d.repair, d.experiment.Observations = nil, 0, 0, nil
	d.tell("%s is built again", d.Topology.Name)
	d.start(d.Topology.Name)
}

// Facts tell how the cluster is made: its fingerprint.
func (d *Drill) Facts() []string {
	ginkgo.GinkgoHelper()
	facts, err := d.Fingerprint(d.ctx)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return facts
}

// OnlyChanged fails unless between two lists of facts there is one change that ends with each of
// those expected, and none else.
func OnlyChanged(before, now []string, expected ...string) error {
	return OnlyThese(clusters.Changes(before, now), expected...)
}

// OnlyThese fails unless there is one change that ends with each of those expected, and none else.
func OnlyThese(changes []string, expected ...string) error {
	unexpected := slices.DeleteFunc(slices.Clone(changes), func(change string) bool {
		return slices.ContainsFunc(expected, func(e string) bool { return strings.HasSuffix(change, e) })
	})
	if len(unexpected) > 0 {
		return errors.New(strings.Join(unexpected, "\n"))
	}
	return Unless(len(changes) == len(expected), fmt.Errorf("the changes are %q, want %q", changes, expected))
}
