package drill

import (
	"errors"
	"fmt"
	"testing"

	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"

	"faultline/reports/record"
)

func TestReasonIsTheErrorsText(t *testing.T) {
	err := fmt.Errorf("the pod is the same: %w", errors.New("it was a and is b"))
	if got, want := reasonOf(gomega.Succeed().FailureMessage(err)), "the pod is the same: it was a and is b"; got != want {
		t.Errorf("of an error: got %q, want %q", got, want)
	}
	if got, want := reasonOf("expected that the API answers, but: refused"), "expected that the API answers, but: refused"; got != want {
		t.Errorf("of our own: got %q, want %q", got, want)
	}
}

func TestJudgeKeepsTheReason(t *testing.T) {
	d := drillAt(t, 0)
	failure := gomega.Succeed().FailureMessage(errors.New("it was a and is b"))
	d.judge(types.SpecReport{State: types.SpecStateFailed, Failure: types.Failure{Message: failure}}, nil)
	if e := d.experiment; e.Verdict != record.Broken || e.Reason != "it was a and is b" {
		t.Errorf("the record says %s: %q", e.Verdict, e.Reason)
	}
}

func TestSabotageIsToldByItsState(t *testing.T) {
	for state, want := range map[types.SpecState]string{
		types.SpecStatePassed:      "turned red, as it must",
		types.SpecStateFailed:      "did not turn red as it must",
		types.SpecStateInterrupted: "interrupted",
		types.SpecStateAborted:     "interrupted",
	} {
		if got := sabotageTold(types.SpecReport{State: state}); got != want {
			t.Errorf("%s: got %q, want %q", state, got, want)
		}
	}
}
