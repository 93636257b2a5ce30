package drill

import (
	"errors"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"faultline/suites/probe"
)

func TestABrokenPromiseSaysWhatWasPromised(t *testing.T) {
	d := &Drill{ctx: t.Context(), clock: probe.NewClock()}
	kept := 0
	d.promise("writes stay lost", func(time.Duration) error { kept++; return nil })
	if err := gomega.InterceptGomegaFailure(d.checkPromises); err != nil || kept != 1 {
		t.Errorf("a promise that was looked at %d times and kept is broken: %v", kept, err)
	}
	d.promise("writes stay lost", func(time.Duration) error { return errors.New("one succeeded") })
	err := gomega.InterceptGomegaFailure(d.checkPromises)
	if want := "writes stay lost: one succeeded"; err == nil || reasonOf(err.Error()) != want {
		t.Errorf("got %v, want %q", err, want)
	}
	if len(d.promises) > 0 {
		t.Error("a broken promise is looked at again")
	}
}
