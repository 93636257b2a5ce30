package recovery

import (
	"slices"
	"testing"
	"time"
)

func TestAboutAsLong(t *testing.T) {
	for _, c := range []struct {
		a, b time.Duration
		want bool
	}{{100, 100, true}, {100, 149, true}, {149, 100, true}, {100, 151, false}, {151, 100, false}} {
		if err := aboutAsLong(c.a, c.b, 1.5); (err == nil) != c.want {
			t.Errorf("%d and %d: %v", c.a, c.b, err)
		}
	}
}

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
