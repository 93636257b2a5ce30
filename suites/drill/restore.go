package drill

import (
	"fmt"
	"slices"
	"time"

	"faultline/clusters"
	"faultline/reports/record"
)

// Forgo says that a backup is going to be restored, of a revision of etcd and an instant:
// what was acknowledged after it is lost, as the record tells, and the audit does not ask
// for it. Everything older has to be there.
func (d *Drill) Forgo(revision uint64, taken time.Time) {
	n := d.probes.Ledger().Forgo(revision)
	age := d.injected() - d.clock.At(taken)
	d.observe(record.Observation{
		Expected: "what was acknowledged after the backup is lost, and nothing else", OK: true, Seconds: floatOf(age),
		Observed: fmt.Sprintf("%d writes of the %s between the backup and the loss", n, seconds(age)),
	})
}

// GoOnWithout says that nodes are gone for good: the audit does not ask them, and the
// cluster is not used again.
func (d *Drill) GoOnWithout(nodes ...*clusters.Node) {
	d.Nodes = slices.DeleteFunc(slices.Clone(d.Nodes), func(n *clusters.Node) bool { return slices.Contains(nodes, n) })
	d.EndsHere()
}

// EndsHere says that the cluster is not what it was, and is not used again: its store has
// gone back in time, say, which its API servers do not know.
func (d *Drill) EndsHere() { d.maimed = true }
