package kind_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"faultline/clusters"
	"faultline/clusters/clustertest"
)

// TestCommandsFollowTheNode: the shells that stay on a node neither hang with it nor
// outlive it.
func TestCommandsFollowTheNode(t *testing.T) {
	n := clustertest.New(t, clusters.BareEtcd(1)).Nodes[0]
	boot := func() string {
		t.Helper()
		out, err := n.Exec(t.Context(), "sh", "-c", "cut -d' ' -f22 /proc/1/stat")
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	before := boot()
	local := func(argv ...string) {
		t.Helper()
		if _, err := clusters.LocalShell(t.Context(), "", nil, argv...); err != nil {
			t.Fatal(err)
		}
	}
	local(n.Power.Freeze...)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	began := time.Now()
	_, err := n.Exec(ctx, "true")
	if err == nil || !strings.Contains(err.Error(), "paused") {
		t.Errorf("on a frozen node: %v", err)
	}
	t.Logf("a frozen node is told from a busy one after %s", time.Since(began))
	local(n.Power.Thaw...)
	if after := boot(); after != before {
		t.Errorf("started at %s, then at %s: thawing is no boot", before, after)
	}
	if err := clusters.Restart(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if after := boot(); after == before {
		t.Error("the shell of before the restart answered")
	}
}
