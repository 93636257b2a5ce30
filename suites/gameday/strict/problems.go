package strict

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Problem is what is wrong with one field.
type Problem struct {
	// Field is its path, such as radius.nodes or nodes[2].name; empty: the whole text.
	Field string
	// What is wrong and wanted, for people.
	What string
}

func (p Problem) Error() string {
	if p.Field == "" {
		return p.What
	}
	return p.Field + ": " + p.What
}

// Problems are all that is wrong with a text.
type Problems []Problem

// Add notes what is wrong with a field.
func (ps *Problems) Add(field, format string, args ...any) {
	*ps = append(*ps, Problem{field, fmt.Sprintf(format, args...)})
}

// And adds problems of others, save those of fields that could not be read in the first
// place: one reason is enough for each.
func (ps Problems) And(others Problems) Problems {
	all := slices.Clone(ps)
	for _, o := range others {
		if !slices.ContainsFunc(ps, func(p Problem) bool { return within(o.Field, p.Field) || within(p.Field, o.Field) }) {
			all = append(all, o)
		}
	}
	return all
}

// within tells whether a field is another one or a part of it.
func within(field, other string) bool {
	rest, found := strings.CutPrefix(field, other)
	return found && (rest == "" || other == "" || rest[0] == '.' || rest[0] == '[')
}

// Err is nil without problems, else all of them, joined.
func (ps Problems) Err() error {
	errs := make([]error, len(ps))
	for n, p := range ps {
		errs[n] = p
	}
	return errors.Join(errs...)
}
