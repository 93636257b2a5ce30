package recovery

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: a recovery is planned, written down and exercised, and steps that are automated serve
// for other sites as well (A:L13-14, A:L92-96, A:L124).
var _ = Describe("The runbooks of backup and restore", Topology("single-master"), Nightly, Runbook, Component(clusters.Etcd), func() {
	It("take the same steps to the same end on another cluster, without anybody's input", Claims("DR-13"), func(ctx SpecContext) {
		d := On(ctx, "single-master")
		name := d.Name
		first := rehearse(ctx, d)
		d.BuildAgain()
		Expect(d.Name).NotTo(Equal(name))
		second := rehearse(ctx, d)

		Expect(d.Saw("the second time the runbook takes the steps of the first", strings.Join(second.steps, "; "),
			Unless(slices.Equal(second.steps, first.steps), fmt.Errorf("the first time %q", first.steps)))).To(Succeed())
		Expect(d.Told("each cluster has authorities of its own", Unless(second.authority != first.authority, nil))).To(Succeed())
		Expect(d.Saw("in the end nodes, static pods, flags, members of etcd and certificates are as on the first cluster",
			fmt.Sprintf("%d facts", len(second.end)), OnlyChanged(first.end, second.end))).To(Succeed())
		Expect(d.Saw("from the loss on both take about the same time", fmt.Sprintf("%s and %s", first.took.Round(time.Second), second.took.Round(time.Second)),
			aboutAsLong(first.took, second.took, d.Timing.Slack*alike))).To(Succeed())
	})
})

// rehearsal is what a recovery came to.
type rehearsal struct {
	// steps are what the runbook said, without numbers, a line each.
	steps []string
	// end are the facts of how the cluster is made afterwards.
	end []string
	// authority is the certificate of the cluster's authority.
	authority string
	// took is the time from the loss until everything was carried out again.
	took time.Duration
}

// alike is how many times as long as the other one of two recoveries may take that are the same.
const alike = 1.5

// aboutAsLong fails when one of both took more than factor times as long as the other.
func aboutAsLong(a, b time.Duration, factor float64) error {
	ratio := max(a, b).Seconds() / min(a, b).Seconds()
	if ratio > factor {
		return fmt.Errorf("one took %.1f times as long as the other, and may take %.1f times as long", ratio, factor)
	}
	return nil
}

// rehearse loses the only master and restores it, with the same steps each time.
func rehearse(ctx context.Context, d *Drill) (r rehearsal) {
	GinkgoHelper()
	master := d.With(clusters.ControlPlane)[0]
	d.Afterwards(takeAwayNeighbours)
	built := d.Facts()
	b, err := takeBackup(ctx, master)
	Expect(d.Told("a backup is taken", err)).To(Succeed())
	Expect(d.Attempt("create an object after the backup", create(forgotten))).To(BeAccepted())
	before := everything(ctx, d)

	d.Inject(fault.Erase(master).Losing(clusters.Components...))
	began := time.Now()
	Expect(d).To(Lose(probe.Write).Within(d.Timing.Noticed()))
	Expect(d).To(KeepServing(probe.Workload))
	r.steps = stepsOf(restoreFrom(ctx, d, b, master))
	r.took = time.Since(began)

	inside, outside := compare(before, everything(ctx, d), metav1.NamespaceSystem)
	Expect(d.Saw("of all objects that of after the backup is missing, and no other one",
		fmt.Sprintf("of the system %s; elsewhere %s", inside, outside), wentBack(inside, outside, "configmaps "+Namespace+"/"+forgotten))).To(Succeed())
	recovered(d)
	r.end, r.authority = d.Facts(), string(read(ctx, d, "pki/ca.crt"))
	Expect(d.Told("the cluster is made as before the loss", OnlyChanged(built, r.end))).To(Succeed())
	return r
}

var number = regexp.MustCompile(`[0-9]+`)

// stepsOf are the lines that a runbook said, with a sign in the place of each number: revisions
// differ.
func stepsOf(said string) (steps []string) {
	for line := range strings.Lines(said) {
		steps = append(steps, number.ReplaceAllString(strings.TrimSpace(line), "#"))
	}
	return steps
}
