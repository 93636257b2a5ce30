package fault

import (
	"testing"

	"faultline/clusters"
	"faultline/clusters/clustertest"
)

// contractCluster returns the running cluster that the contract tests break.
func contractCluster(t *testing.T) *clusters.Cluster {
	t.Helper()
	return clustertest.New(t, clusters.SingleHostMinimal())
}
