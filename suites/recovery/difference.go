package recovery

import (
	"errors"
	"fmt"
	"slices"

	"faultline/clusters"
)

// difference is what became of objects between two looks at them, by their names.
type difference struct {
	// kept are the same in the same version, changed the same in another version, and remade
	// others of the same name.
	kept, changed, remade, gone, added []string
}

func (d *difference) String() string {
	return fmt.Sprintf("%d are the same, %d changed, %d made anew, %d gone and %d new", len(d.kept), len(d.changed), len(d.remade), len(d.gone), len(d.added))
}

// compare tells what became of the objects inside a namespace and of all others.
func compare(before, after map[string]clusters.Identity, namespace string) (inside, outside *difference) {
	inside, outside = &difference{}, &difference{}
	side := func(i clusters.Identity) *difference {
		if i.Namespace == namespace {
			return inside
		}
		return outside
	}
	for name, was := range before {
		is, there := after[name]
		list := &side(was).kept
		switch {
		case !there:
			list = &side(was).gone
		case is.UID != was.UID:
			list = &side(was).remade
		case is.Version != was.Version:
			list = &side(was).changed
		}
		*list = append(*list, name)
	}
	for name, is := range after {
		if _, there := before[name]; !there {
			side(is).added = append(side(is).added, name)
		}
	}
	return inside, outside
}

// touched lists all that are not what they were, whatever became of them.
func (d *difference) touched() []string { return slices.Concat(d.changed, d.remade, d.gone, d.added) }

// other lists all that were not made anew.
func (d *difference) other() []string { return slices.Concat(d.kept, d.changed, d.gone, d.added) }

// none fails unless the list is empty.
func none(what string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return fmt.Errorf("%d objects %s: %.5q", len(names), what, names[:min(len(names), 5)])
}

// importedAlone fails unless everything in the namespace was made anew and nothing else touched.
func importedAlone(inside, outside *difference) error {
	if len(inside.remade) == 0 {
		return errors.New("nothing was made anew")
	}
	return errors.Join(none("of the namespace were not made anew", inside.other()), none("elsewhere were touched", outside.touched()))
}

// wentBack fails unless all objects are those of before, in whatever version, but for those that
// are newer than the backup, which are gone.
func wentBack(inside, outside *difference, newer ...string) error {
	if len(inside.kept)+len(inside.changed) == 0 {
		return errors.New("there was nothing in the namespace")
	}
	slices.Sort(outside.gone)
	if !slices.Equal(outside.gone, newer) {
		return fmt.Errorf("%q are gone, want %q", outside.gone, newer)
	}
	return errors.Join(
		none("of the namespace are not those of the backup", slices.Concat(inside.remade, inside.gone, inside.added)),
		none("elsewhere are not those of the backup", slices.Concat(outside.remade, outside.added)))
}
