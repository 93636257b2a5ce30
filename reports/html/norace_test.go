//go:build !race

package html_test

const slowness = 1
