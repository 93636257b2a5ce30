package fault

import "slices"

// Entry is what people are told of a fault before they use it.
type Entry struct {
	Kind Kind
	// Family groups faults by what they break.
	Family string
	// Targets is what may be hit, Needs what it takes of kernel, node or topology.
	Targets, Needs string
	// Undo is how it is taken back, Proof how its effect is shown.
	Undo, Proof string
}

// Catalogue lists every fault, by family.
func Catalogue() []Entry {
	return slices.Concat(processEntries, hostEntries, networkEntries, diskEntries, etcdEntries,
		resourceEntries, loadEntries, certificateEntries, leaseEntries, humanEntries, composedEntries)
}
