//go:build race

package html_test

// slowness is how much longer everything may take: the race detector is on.
const slowness = 8
