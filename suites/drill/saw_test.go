package drill

import (
	"errors"
	"testing"
)

func TestSawKeepsFigureAndReason(t *testing.T) {
	d := drillAt(t, 0)
	why := errors.New("one too many")
	if err := d.Saw("five are accepted", "6 were", why); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	if err := d.Saw("five are accepted", "5 were", nil); err != nil {
		t.Errorf("got %v", err)
	}
	o := d.experiment.Observations
	if len(o) != 2 || o[0].OK || o[0].Observed != "6 were; one too many" || !o[1].OK || o[1].Observed != "5 were" {
		t.Errorf("the record says %+v", o)
	}
}

func TestNotedIsInTheRecord(t *testing.T) {
	d := drillAt(t, 0)
	d.Noted("both take their time", "1 s and 2 s")
	if o := d.experiment.Observations; len(o) != 1 || !o[0].OK || o[0].Observed != "1 s and 2 s" {
		t.Errorf("the record says %+v", o)
	}
}
