package strict_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"faultline/suites/gameday/strict"
)

type color string

func (c *color) UnmarshalYAML(n *yaml.Node) error {
	if n.Value != "red" {
		return errors.New("a color")
	}
	*c = "red"
	return nil
}

type document struct {
	Name  string    `yaml:"name"`
	Count int       `yaml:"count"`
	Share float64   `yaml:"share"`
	Well  bool      `yaml:"well"`
	At    time.Time `yaml:"at"`
	Color color     `yaml:"color"`
	Parts []part    `yaml:"parts"`
	Limit *float64  `yaml:"limit,omitempty"`
}

type part struct {
	Tags []string `yaml:"tags"`
}

const wellFormed = `name: one
count: 2
share: 0.5
well: true
at: 2027-01-31T17:00:00+01:00
color: red
parts:
- tags: [a, b]
limit: 3
`

func TestDecodeFillsEverything(t *testing.T) {
	var got document
	if problems := strict.Decode([]byte(wellFormed), &got); len(problems) > 0 {
		t.Fatal(problems)
	}
	limit := 3.0
	want := document{Name: "one", Count: 2, Share: 0.5, Well: true, At: got.At, Color: "red", Parts: []part{{[]string{"a", "b"}}}, Limit: &limit}
	if !reflect.DeepEqual(got, want) || !got.At.Equal(time.Date(2027, 1, 31, 16, 0, 0, 0, time.UTC)) {
		t.Errorf("got %+v", got)
	}
}

func TestDecodeNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ name, old, replacement, want string }{
		{"a missing text", "name: one\n", "", "name: is missing: want a readable text"},
		{"a missing value", "name: one", "name:", "name: want a readable text, not nothing (line 1)"},
		{"a blank text", "name: one", `name: " "`, "name: want a readable text"},
		{"an escape sequence", "name: one", `name: "\e[2Jone"`, "name: want a readable text"},
		{"text from right to left", "name: one", `name: "\u202eeno"`, "name: want a readable text"},
		{"a number for a text", "name: one", "name: 1", `name: want a readable text, not "1" (line 1)`},
		{"a list for a text", "name: one", "name: [one]", "name: want a readable text, not a list"},
		{"a tag of its own", "name: one", "name: !secret one", "name: want a readable text"},
		{"a fraction", "count: 2", "count: 2.5", "count: want a whole number"},
		{"a number as text", "count: 2", `count: "2"`, `count: want a whole number, not "2" (line 2)`},
		{"too large a number", "count: 2", "count: 99999999999999999999", "count: want a whole number"},
		{"no number", "share: 0.5", "share: half", "share: want a number"},
		{"text that looks like a merge", "name: one", "name: <<\nnome: 1", "nome: unknown key"},
		{"an old truth", "well: true", "well: yes", "well: want true or false"},
		{"a day for a time", "at: 2027-01-31T17:00:00+01:00", "at: 2027-01-31", "at: want a time with its zone"},
		{"a time without a zone", "17:00:00+01:00", "17:00:00", "at: want a time with its zone"},
		{"a list for a time", "2027-01-31T17:00:00+01:00", "[2027-01-31T17:00:00+01:00]", "at: want a time with its zone"},
		{"no time", "2027-01-31T17:00:00+01:00", "", "at: want a time with its zone such as 2027-01-31T17:00:00+01:00, not nothing (line 5)"},
		{"another color", "color: red", "color: blue", `color: want a color, not "blue" (line 6)`},
		{"no color", "color: red\n", "", "color: is missing: want a color"},
		{"a stranger", "count: 2", "count: 2\ncuont: 3", "cuont: unknown key: want name, count,"},
		{"the same twice", "count: 2", "count: 2\ncount: 2", "count: is there twice"},
		{"an inner stranger", "tags: [a, b]", "tags: [a, b]\n  color: red", "parts[0].color: unknown key: want tags (line 9)"},
		{"an element of another type", "[a, b]", "[a, {b: c}]", "parts[0].tags[1]: want a readable text, not a mapping"},
		{"a mapping for a list", "- tags: [a, b]", "  tags: [a, b]", "parts: want a list, not a mapping"},
		{"a list for a mapping", "- tags: [a, b]", "- [a, b]", "parts[0]: want a mapping with tags, not a list"},
		{"an anchor", "name: one", "name: &one one", "name: want the value itself, not an alias or anchor"},
		{"an alias as a key", "name: one\ncount: 2", "&count name: one\n*count : 2", "count: unknown key"},
		{"a merge", "- tags: [a, b]", "- <<: {tags: [a]}", "parts[0].<<: unknown key"},
		{"an optional field without a value", "limit: 3", "limit: ~", "limit: want a number, not nothing"},
		{"a second document", "limit: 3", "limit: 3\n---\n", "something follows the first document"},
		{"no YAML", "name: one", "name: [", "line "},
		{"a secret", "count: 2", "count: http://me:secret@prometheus", "count: want a whole number, not a URL"},
	} {
		text := strings.Replace(wellFormed, c.old, c.replacement, 1)
		if text == wellFormed {
			t.Fatalf("%s: nothing is replaced", c.name)
		}
		var got document
		if err := strict.Decode([]byte(text), &got).Err(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want %q, got %v", c.name, c.want, err)
		}
	}
	for _, text := range []string{"", "# nothing\n", "[]", "7"} {
		if len(strict.Decode([]byte(text), &document{})) == 0 {
			t.Errorf("%q is taken for a document", text)
		}
	}
}

func TestDecodeFindsEverything(t *testing.T) {
	var got document
	if problems := strict.Decode([]byte("name: 1\ncount: x\nstranger: 2\n"), &got); len(problems) != 8 {
		t.Errorf("want 8 problems, got %v", problems.Err())
	}
}

func TestOneReasonForEachField(t *testing.T) {
	read := strict.Problems{{"radius", "is missing"}, {"days[1]", "is no text"}}
	checked := strict.Problems{{"radius.nodes", "too few"}, {"radiuses", "odd"}, {"days", "odd"}, {"days[10]", "odd"}, {"owner", "odd"}}
	want := append(read[:2:2], strict.Problem{"radiuses", "odd"}, strict.Problem{"days[10]", "odd"}, strict.Problem{"owner", "odd"})
	if got := read.And(checked); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	if err := (strict.Problems{}).Err(); err != nil {
		t.Errorf("no problems are %v", err)
	}
	if got := (strict.Problems{{"", "no YAML"}}).And(checked); len(got) != 1 {
		t.Errorf("a text that cannot be read has other problems: %v", got)
	}
}
