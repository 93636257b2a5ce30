package kind_test

import (
	"context"
	"testing"

	"golang.org/x/sync/errgroup"

	"faultline/clusters"
	"faultline/clusters/clustertest"
	"faultline/clusters/kind"
)

// TestClustersOfOneRunStartTogether: processes of a run share its network, which is made once.
func TestClustersOfOneRunStartTogether(t *testing.T) {
	first := clustertest.Options(t, clusters.BareEtcd(1))
	second := first
	second.Sequence = 2
	var group errgroup.Group
	for _, o := range []kind.Options{first, second} {
		group.Go(func() error {
			c, err := kind.Create(t.Context(), o)
			if err != nil {
				return err
			}
			t.Cleanup(func() {
				if err := kind.Delete(context.WithoutCancel(t.Context()), o.Engine, c.Name, o.Dir); err != nil {
					t.Error(err)
				}
			})
			return c.Close()
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}
