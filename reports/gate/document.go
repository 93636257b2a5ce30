package gate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// document is a policy's text as YAML has it, to find the lines of what is wrong.
type document struct {
	name     string
	root     yaml.Node
	problems []error
}

// decode fills the policy, strictly.
func (d *document) decode(text []byte, p *Policy) error {
	if err := yaml.Unmarshal(text, &d.root); err != nil {
		return d.readable(err)
	}
	if len(d.root.Content) == 0 || d.root.Content[0].Kind != yaml.MappingNode {
		return fmt.Errorf("%s:1: a policy is a mapping with the keys of the default policy", d.name)
	}
	// A newer policy may well not fit: its version comes first.
	if n := d.find("schema"); n != nil && n.Value != strconv.Itoa(policySchema) {
		return fmt.Errorf("%s:%d: schema is %q and this faultline reads %d: use the faultline that it was written for", d.name, n.Line, n.Value, policySchema)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(p); err != nil {
		return d.readable(err)
	}
	var second yaml.Node
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s:%d: a second document begins, and a policy is one", d.name, second.Line)
	}
	return nil
}

var (
	yamlLine   = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)`)
	yamlField  = regexp.MustCompile(`^field (\S+) not found in type \S+`)
	yamlType   = regexp.MustCompile("^cannot unmarshal \\S+ (`.*` )?into (\\S+)")
	yamlSimple = map[string]string{"float64": "a number", "string": "a text"}
)

// readable turns errors of the YAML library into lines for people.
func (d *document) readable(err error) error {
	texts := []string{err.Error()}
	var several *yaml.TypeError
	if errors.As(err, &several) {
		texts = several.Errors
	}
	var problems []error
	for _, text := range texts {
		line, what := "", text
		if m := yamlLine.FindStringSubmatch(text); m != nil {
			line, what = ":"+m[1], m[2]
		}
		if m := yamlField.FindStringSubmatch(what); m != nil {
			what = fmt.Sprintf("unknown key %q", m[1])
		} else if m := yamlType.FindStringSubmatch(what); m != nil {
			kind, simple := yamlSimple[m[2]]
			if !simple {
				kind = "a mapping or list as in the default policy"
			}
			what = strings.TrimSpace(m[1]+"is not "+kind) + ", which is wanted here"
		}
		problems = append(problems, fmt.Errorf("%s%s: %s", d.name, line, what))
	}
	return errors.Join(problems...)
}

// find follows keys and indices; it is nil where one is missing.
func (d *document) find(path ...any) *yaml.Node {
	n := d.root.Content[0]
	for _, step := range path {
		if n = child(n, step); n == nil {
			return nil
		}
	}
	return n
}

func child(n *yaml.Node, step any) *yaml.Node {
	switch step := step.(type) {
	case int:
		if n.Kind == yaml.SequenceNode && step < len(n.Content) {
			return n.Content[step]
		}
	case string:
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i+1]
			}
		}
	}
	return nil
}

// fail notes what is wrong at a path, or at the nearest place around it that exists.
func (d *document) fail(what string, path ...any) {
	for len(path) > 0 && d.find(path...) == nil {
		path = path[:len(path)-1]
	}
	d.problems = append(d.problems, fmt.Errorf("%s:%d: %s", d.name, d.find(path...).Line, what))
}

// require notes a key that is missing or has no value, and tells whether it is there.
func (d *document) require(path ...any) bool {
	n := d.find(path...)
	if n == nil || n.ShortTag() == "!!null" {
		d.fail(fmt.Sprintf("%v is missing: a policy says everything", path[len(path)-1]), path...)
		return false
	}
	return true
}

// UnmarshalYAML takes the word all, or a list.
func (s *selection) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode && n.Value == "all" {
		*s = nil
		return nil
	}
	var list []string
	if n.Kind != yaml.SequenceNode || n.Decode(&list) != nil || len(list) == 0 {
		return wrong(n, "want all, or a list of claims and groups such as [ETCD-02, LEAD]")
	}
	*s = list
	return nil
}

// UnmarshalYAML takes a number without a fraction.
func (w *whole) UnmarshalYAML(n *yaml.Node) error {
	var number int
	if n.ShortTag() != "!!int" || n.Decode(&number) != nil {
		return wrong(n, fmt.Sprintf("%q is not a whole number", n.Value))
	}
	*w = whole(number)
	return nil
}

// UnmarshalYAML takes a date such as 2027-01-31.
func (d *day) UnmarshalYAML(n *yaml.Node) error {
	t, err := time.Parse(time.DateOnly, n.Value)
	if err != nil {
		return wrong(n, fmt.Sprintf("%q is not a date such as 2027-01-31", n.Value))
	}
	d.Time = t
	return nil
}

// wrong is an error in the manner of the YAML library, which collects them.
func wrong(n *yaml.Node, what string) error {
	return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %s", n.Line, what)}}
}
