package drill

import (
	"errors"
	"fmt"
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
	if why := d.expired(); why != "" {
		d.require(errors.New(why), "the fault did not hold")
	}
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

// expired tells whether a fault ended by itself before the experiment undid it: then what was
// seen since says nothing about the fault.
func (d *Drill) expired() string {
	for _, i := range d.injections {
		if i.Expired() {
			return fmt.Sprintf("the nodes undid %s themselves, as nobody else had after %s", i.Fault, i.Fault.TTL)
		}
	}
	return ""
}
