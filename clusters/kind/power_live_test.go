package kind_test

import (
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"faultline/clusters"
	"faultline/clusters/clustertest"
)

// TestSwitchedOnOnce: recovery may switch a node on at the moment that its own undo does. The
// second one must not take the network away from a node that the first one has started.
func TestSwitchedOnOnce(t *testing.T) {
	n := clustertest.New(t, clusters.BareEtcd(1)).Nodes[0]
	for round := range 12 {
		if _, err := clusters.LocalShell(t.Context(), "", nil, n.Power.Off...); err != nil {
			t.Fatal(err)
		}
		var both errgroup.Group
		for after := range 2 {
			both.Go(func() error {
				time.Sleep(time.Duration(after*round) * 10 * time.Millisecond)
				_, err := clusters.LocalShell(t.Context(), "", nil, n.Power.On...)
				return err
			})
		}
		if err := both.Wait(); err != nil {
			t.Error(err)
		}
		if out, err := n.Exec(t.Context(), "ip", "-brief", "address", "show", "eth0"); err != nil {
			t.Errorf("round %d: the node has not got its network interface: %v: %s", round, err, out)
		}
	}
}
