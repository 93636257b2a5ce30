package quorum

import "testing"

func TestTolerance(t *testing.T) {
	for n, want := range []int{0, 0, 1, 1, 2, 2, 3} {
		if got := tolerance(n + 1); got != want {
			t.Errorf("%d members tolerate %d, want %d", n+1, got, want)
		}
	}
}
