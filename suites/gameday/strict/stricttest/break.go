// Package stricttest breaks valid documents, to see whether their readers notice.
package stricttest

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

// place is a value of a document: that of a key, or an element of a list, where index is
// its place in the parent's content.
type place struct {
	path   string
	parent *yaml.Node
	index  int
}

func (p place) value() *yaml.Node { return p.parent.Content[p.index] }
func (p place) keyed() bool       { return p.parent.Kind == yaml.MappingNode }

// Break makes one thing of a valid document invalid in a random way, and says what: it drops
// or empties a required field, gives a value another type, adds a key that nobody knows, or
// one that is there already. Optional names fields that may be dropped, as in a[].b.
func Break(t *rapid.T, text []byte, optional ...string) (broken []byte, how string) {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	p := rapid.SampledFrom(places("", root.Content[0])).Draw(t, "place")
	ways := []string{"retype", "empty"}
	if p.keyed() {
		ways = append(ways, "stranger", "twice")
	}
	if p.keyed() && !slices.Contains(optional, p.path) {
		ways = append(ways, "drop")
	}
	way := rapid.SampledFrom(ways).Draw(t, "way")
	p.breaks(t, way)
	broken, err := yaml.Marshal(&root)
	if err != nil {
		t.Fatal(err)
	}
	return broken, fmt.Sprintf("%s %s", way, p.path)
}

func places(path string, n *yaml.Node) []place {
	var all []place
	for i, child := range n.Content {
		p := place{path: path + "[]", parent: n, index: i}
		if n.Kind == yaml.MappingNode {
			if i%2 == 0 {
				continue
			}
			p.path = n.Content[i-1].Value
			if path != "" {
				p.path = path + "." + p.path
			}
		}
		all = append(append(all, p), places(p.path, child)...)
	}
	return all
}

func (p place) breaks(t *rapid.T, way string) {
	switch key := p.index - 1; way {
	case "retype":
		p.parent.Content[p.index] = otherType(t, p.value())
	case "empty":
		p.parent.Content[p.index] = scalar("null", "!!null")
	case "stranger":
		name := rapid.StringMatching(`x[a-z]{3,9}`).Draw(t, "stranger")
		p.parent.Content = append(p.parent.Content, scalar(name, "!!str"), p.value())
	case "twice":
		p.parent.Content = append(p.parent.Content, p.parent.Content[key], p.value())
	case "drop":
		p.parent.Content = slices.Delete(p.parent.Content, key, p.index+1)
	}
}

// otherType is a value of a type that nobody takes for that of the node.
func otherType(t *rapid.T, n *yaml.Node) *yaml.Node {
	word, number := scalar("seven", "!!str"), scalar("7", "!!int")
	lists := []*yaml.Node{
		{Kind: yaml.SequenceNode, Content: []*yaml.Node{word}},
		{Kind: yaml.MappingNode, Content: []*yaml.Node{word, number}},
	}
	switch n.ShortTag() {
	case "!!seq", "!!map":
		return rapid.SampledFrom([]*yaml.Node{word, number}).Draw(t, "scalar")
	case "!!int", "!!float", "!!bool":
		return rapid.SampledFrom(append(lists, word)).Draw(t, "no number")
	default:
		return rapid.SampledFrom(append(lists, number)).Draw(t, "no text")
	}
}

func scalar(value, tag string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Value: value, Tag: tag}
}
