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

// checkPromises ends the spec where a promise was broken, or could not be judged.
func (d *Drill) checkPromises() {
	ginkgo.GinkgoHelper()
	if why := d.expired(); why != "" {
		d.require(errors.New(why), "the fault did not hold")
	}
	if err := d.unkept(); err != nil {
		fail(err.Error())
	}
}

// unkept tells which promises were broken until now, over the whole fault, and forgets all.
func (d *Drill) unkept() error {
	until := d.now()
	var errs []error
	for _, p := range d.promises {
		if err := p.check(until); err != nil {
			d.observe(record.Observation{Expected: p.name + " until the undo", Observed: err.Error()})
			errs = append(errs, fmt.Errorf("%s: %w", p.name, err))
		}
	}
	d.promises = nil
	return errors.Join(errs...)
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
