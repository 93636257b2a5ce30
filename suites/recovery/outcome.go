package recovery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// outcome is what became of an etcd that was started from copies of its members.
type outcome struct {
	// refused are the last words of members that did not start, by their nodes.
	refused map[string]string
	// keys is how many of the keys there are, and -1 where nobody answers.
	keys int64
	// hashes tell the data of the members that answer, by their nodes.
	hashes map[string]uint32
}

// look asks those that have not refused. Copies answer nobody else, so that their revision stays.
func (o *outcome) look(ctx context.Context, d *Drill, members ...clusters.Instance) {
	o.keys = -1
	for _, m := range members {
		if _, refused := o.refused[m.Node.Name]; refused {
			continue
		}
		keys, revision, err := countKeys(ctx, d, m)
		if err == nil {
			o.keys = keys
			o.hashes[m.Node.Name], err = d.EtcdHash(ctx, copyOf(m), revision)
		}
		if err != nil {
			o.refused[m.Node.Name] = err.Error()
		}
	}
}

// clean fails unless all members have started, with the same data and as many keys as were
// acknowledged.
func (o *outcome) clean(acknowledged int64) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(o.refused)) {
		errs = append(errs, fmt.Errorf("%s refuses: %s", name, o.refused[name]))
	}
	if o.keys != acknowledged {
		errs = append(errs, fmt.Errorf("there are %d of %d acknowledged keys", o.keys, acknowledged))
	}
	if o.different() > 1 {
		errs = append(errs, errors.New("members that serve have different data"))
	}
	return errors.Join(errs...)
}

// different is how many different contents the members have.
func (o *outcome) different() int {
	contents := map[uint32]bool{}
	for _, hash := range o.hashes {
		contents[hash] = true
	}
	return len(contents)
}

// like tells whether as many keys are left, and the same members refuse.
func (o *outcome) like(other outcome) bool {
	names := func(refused map[string]string) []string { return slices.Sorted(maps.Keys(refused)) }
	return o.keys == other.keys && slices.Equal(names(o.refused), names(other.refused))
}

func (o *outcome) String() string {
	words := []string{fmt.Sprintf("%d keys in %d members with %d different contents", o.keys, len(o.hashes), o.different())}
	for _, name := range slices.Sorted(maps.Keys(o.refused)) {
		words = append(words, fmt.Sprintf("%s refuses: %s", name, strings.TrimSpace(o.refused[name])))
	}
	return strings.Join(words, "; ")
}
