// Package strict reads YAML that somebody's cluster depends on: whatever is unknown,
// missing, there twice or of another type is a problem, and it reports all of them.
package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// Decode fills out, a pointer to a struct whose fields have yaml tags, and returns what is
// wrong. A field is required unless its tag says omitempty. Texts are never blank and hold
// nothing that a terminal would obey; times are of RFC 3339, with their zone. A type with an
// UnmarshalYAML of its own returns what it wants as the error, for an empty node too.
func Decode(text []byte, out any) Problems {
	var d decoder
	documents := yaml.NewDecoder(bytes.NewReader(text))
	var root, second yaml.Node
	if err := documents.Decode(&root); errors.Is(err, io.EOF) {
		d.problems.Add("", "there is nothing in it")
	} else if err != nil {
		d.problems.Add("", "%s", strings.TrimPrefix(err.Error(), "yaml: "))
	} else if err := documents.Decode(&second); !errors.Is(err, io.EOF) {
		d.problems.Add("", "something follows the first document: want one")
	} else {
		d.value("", root.Content[0], reflect.ValueOf(out).Elem())
	}
	return d.problems
}

type decoder struct{ problems Problems }

// fail notes that a node is not what is wanted.
func (d *decoder) fail(path string, n *yaml.Node, wanted string) {
	d.problems.Add(path, "want %s, not %s (line %d)", wanted, describe(n), n.Line)
}

var moment = reflect.TypeFor[time.Time]()

// value fills v, which has to be addressable.
func (d *decoder) value(path string, n *yaml.Node, v reflect.Value) {
	own, custom := v.Addr().Interface().(yaml.Unmarshaler)
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.fail(path, n, "the value itself")
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(path, n, v.Elem())
	case custom:
		if err := own.UnmarshalYAML(n); err != nil {
			d.fail(path, n, err.Error())
		}
	case v.Type() == moment:
		d.time(path, n, v)
	case v.Kind() == reflect.Struct:
		d.mapping(path, n, v)
	case v.Kind() == reflect.Slice:
		d.list(path, n, v)
	default:
		d.scalar(path, n, v)
	}
}

// mapping fills a struct.
func (d *decoder) mapping(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.fail(path, n, wanted(v.Type()))
		return
	}
	fields := fieldsOf(v.Type())
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		index, known := fields.index[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || !known:
			d.problems.Add(join(path, key.Value), "unknown key: want %s (line %d)", strings.Join(fields.names, ", "), key.Line)
		case seen[key.Value]:
			d.problems.Add(join(path, key.Value), "is there twice: want it once (line %d)", key.Line)
		default:
			seen[key.Value] = true
			d.value(join(path, key.Value), value, v.Field(index))
		}
	}
	for _, name := range fields.names {
		if !seen[name] && !fields.optional[name] {
			d.problems.Add(join(path, name), "is missing: want %s", wanted(v.Field(fields.index[name]).Type()))
		}
	}
}

// fields are those of a struct by their keys, names in its order.
type fields struct {
	names    []string
	index    map[string]int
	optional map[string]bool
}

func fieldsOf(t reflect.Type) fields {
	f := fields{index: map[string]int{}, optional: map[string]bool{}}
	for i := range t.NumField() {
		name, option, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		f.names = append(f.names, name)
		f.index[name], f.optional[name] = i, option == "omitempty"
	}
	return f
}

// list fills a slice, which stays nil when there is nothing in it.
func (d *decoder) list(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.fail(path, n, wanted(v.Type()))
		return
	}
	for i, element := range n.Content {
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		d.value(fmt.Sprintf("%s[%d]", path, i), element, v.Index(i))
	}
}

// time fills a moment. One without a zone would depend on who reads it.
func (d *decoder) time(path string, n *yaml.Node, v reflect.Value) {
	t, err := time.Parse(time.RFC3339, n.Value)
	if err != nil {
		d.fail(path, n, wanted(moment))
		return
	}
	v.Set(reflect.ValueOf(t))
}

// tags are what the YAML library may have resolved a value of a kind to. A value of << merges
// nothing.
var tags = map[reflect.Kind][]string{
	reflect.String: {"!!str", "!!merge"}, reflect.Int: {"!!int"}, reflect.Float64: {"!!float", "!!int"}, reflect.Bool: {"!!bool"},
}

func (d *decoder) scalar(path string, n *yaml.Node, v reflect.Value) {
	fits := slices.Contains(tags[v.Kind()], n.ShortTag())
	if !fits || n.Decode(v.Addr().Interface()) != nil || v.Kind() == reflect.String && !readable(v.String()) {
		d.fail(path, n, wanted(v.Type()))
	}
}

// readable tells whether a text says something and is nothing but text: an escape sequence
// could make a terminal show another plan than the one that runs.
func readable(text string) bool {
	return strings.TrimSpace(text) != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return r != '\n' && r != '\t' && !unicode.IsGraphic(r)
	})
}

// wanted tells people what a type is in YAML.
func wanted(t reflect.Type) string {
	if t == moment {
		return "a time with its zone such as 2027-01-31T17:00:00+01:00"
	}
	if own, custom := reflect.New(t).Interface().(yaml.Unmarshaler); custom {
		return own.UnmarshalYAML(&yaml.Node{}).Error()
	}
	switch t.Kind() {
	case reflect.String:
		return "a readable text"
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Pointer:
		return wanted(t.Elem())
	default:
		return "a mapping with " + strings.Join(fieldsOf(t).names, ", ")
	}
}

// describe tells people what there is. A URL is not repeated, as it may hold a password.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return "an alias or anchor"
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!null":
		return "nothing"
	case strings.Contains(n.Value, "://"):
		return "a URL"
	default:
		return fmt.Sprintf("%q", n.Value)
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
