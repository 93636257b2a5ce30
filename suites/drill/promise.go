package drill

import (
	"time"

	"github.com/onsi/ginkgo/v2"

	"faultline/reports/record"
)

// promise is an expectation that was met when it was asserted and has to stay
// met until the fault is undone.
type promise struct {
	name  string
	check func(until time.Duration) error
}

func (d *Drill) promise(name string, check func(until time.Duration) error) {
	d.promises = append(d.promises, promise{name, check})
}

// checkPromises examines every promise over the whole fault, and forgets it.
func (d *Drill) checkPromises() {
	ginkgo.GinkgoHelper()
	until := d.now()
	promises := d.promises
	d.promises = nil
	for _, p := range promises {
		err := p.check(until)
		if err != nil {
			d.observe(record.Observation{Expected: p.name + " until the undo", Observed: err.Error()})
			fail(p.name + ": " + err.Error())
		}
	}
}
