package drill

import (
	"errors"
	"fmt"
	"testing"

	"github.com/onsi/gomega"
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
