package drill

import (
	"fmt"

	"faultline/reports/record"
)

// Saw puts into the record what a check saw, also where nothing is wrong, and returns what is.
// It is Told for checks whose figures matter either way.
func (d *Drill) Saw(what, saw string, err error) error {
	o := record.Observation{Expected: what, Observed: saw, OK: err == nil}
	if err != nil {
		o.Observed += "; " + err.Error()
		err = fmt.Errorf("%s: %w", what, err)
	}
	d.observe(o)
	return err
}

// Noted puts into the record what was found where nothing is expected of it.
func (d *Drill) Noted(what, found string) {
	d.observe(record.Observation{Expected: what, Observed: found, OK: true})
}
