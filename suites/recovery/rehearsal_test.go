package recovery

import (
	"slices"
	"testing"
)

func TestStepsOf(t *testing.T) {
	first := stepsOf("the archive is whole: restoring revision 812\nthe API is ready\n")
	if want := []string{"the archive is whole: restoring revision #", "the API is ready"}; !slices.Equal(first, want) {
		t.Errorf("the steps are %q, want %q", first, want)
	}
	if again := stepsOf("the archive is whole: restoring revision 9\nthe API is ready\n"); !slices.Equal(again, first) {
		t.Errorf("with another revision the steps are %q", again)
	}
	if more := stepsOf("the archive is whole: restoring revision 812\nthe former data is kept\nthe API is ready\n"); slices.Equal(more, first) {
		t.Error("one step more is not noticed")
	}
}
