// Package overload holds the specs of what document A says of protecting nodes from who wants
// too much of them (A:L45, A:L70-75).
package overload

const (
	// topology has everything on one node, so that a hog has all neighbours that it can have.
	topology = "single-host-minimal"
	// withWorkers has nodes that run ordinary pods only.
	withWorkers = "single-master"
)
