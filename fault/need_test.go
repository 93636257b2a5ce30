package fault

import (
	"errors"
	"strings"
	"testing"

	"faultline/clusters"
)

func TestANodeThatLacksProgramsIsRefused(t *testing.T) {
	s := newSandbox(t)
	_, victim := s.victim()
	if err := need(t.Context(), victim.Node, "sh", "flock"); err != nil {
		t.Errorf("what is there: %v", err)
	}
	err := need(t.Context(), victim.Node, "sh", "no-such-program", "nor-this")
	if !errors.Is(err, clusters.ErrUnsupported) || !strings.HasSuffix(err.Error(), "node n1 has no no-such-program, nor-this") {
		t.Errorf("what is not: %v", err)
	}
}
