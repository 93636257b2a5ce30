// Package suites_test is the one Ginkgo binary: the spec packages register
// their specs when they are imported.
package suites_test

import (
	"os"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	_ "faultline/suites/airgap"
	_ "faultline/suites/balancers"
	_ "faultline/suites/components"
	"faultline/suites/drill"
	_ "faultline/suites/hosts"
	_ "faultline/suites/leadership"
	_ "faultline/suites/overload"
	_ "faultline/suites/policy"
	_ "faultline/suites/quorum"
	_ "faultline/suites/recovery"
	"faultline/suites/rundir"
	_ "faultline/suites/sabotage"
	_ "faultline/suites/storage"
	_ "faultline/suites/workers"
)

// TestChaos is for make chaos. A plain `go test ./...` must not start privileged
// containers for many minutes.
func TestChaos(t *testing.T) {
	suite, reporter := GinkgoConfiguration()
	if os.Getenv(rundir.Variable) == "" && !suite.DryRun {
		t.Skipf("started by make chaos only: %s is not set", rundir.Variable)
	}
	RegisterFailHandler(Fail)
	RunSpecs(t, "Faultline", suite, reporter)
}

// The first process prepares engine and images alone; the others find them done.
var _ = SynchronizedBeforeSuite(func(ctx SpecContext) {
	Expect(drill.Open(ctx)).To(Succeed())
}, func(ctx SpecContext) {
	if GinkgoParallelProcess() != 1 {
		Expect(drill.Open(ctx)).To(Succeed())
	}
})

var _ = SynchronizedAfterSuite(func(ctx SpecContext) {
	Expect(drill.Close(ctx)).To(Succeed())
}, func(ctx SpecContext) {
	Expect(drill.CloseRun(ctx)).To(Succeed())
})
