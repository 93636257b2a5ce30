package drill

import (
	"fmt"
	"time"

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
