package plan

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Text is the plan for a terminal, with one line for each thing that it says.
func (p Plan) Text() string {
	var t text
	t.line("Game day on %s", p.Target.Name)
	t.field("server", p.Target.Server)
	t.field("UID", p.Target.UID)
	t.field("CA", p.Target.CA)
	t.field("consent", p.Target.Consent)
	t.field("expires", p.ExpiresAt.Format(time.RFC3339))
	for _, n := range p.Target.Nodes {
		t.field("node", n.String())
	}
	t.list("Unknown about this cluster:", p.Unknown)
	var takes Duration
	for i, e := range p.Experiments {
		t.line("")
		t.line("%d. %s", i+1, e.Name)
		e.tell(&t)
		takes += e.Takes
	}
	t.line("")
	t.line("All of it takes about %s.", time.Duration(takes))
	t.list("Abort, and undo everything, as soon as:", p.Stop.Conditions())
	return t.String()
}

// String tells the node to people.
func (n Node) String() string {
	words := n.Name + ", " + n.Role
	if n.Host != "" {
		words += ", on host " + n.Host
	}
	if n.Address != "" {
		words += ", at " + n.Address
	}
	return words + ": " + list(n.Components)
}

func (e Experiment) tell(t *text) {
	t.field("fault", fmt.Sprintf("%s (%s), held for %s", e.Fault, e.Family, time.Duration(e.Hold)))
	t.field("targets", list(e.Targets))
	t.field("nodes", list(e.Nodes))
	if len(e.Losing) > 0 {
		t.field("loses", list(e.Losing)+", on purpose")
	}
	t.field("predicted", e.Predicted.String())
	t.field("takes", fmt.Sprintf("about %s until all is healed", time.Duration(e.Takes)))
	t.field("undo", e.Undo)
}

// String tells it to people.
func (p Prediction) String() string {
	switch {
	case p.Controlled:
		return "once elections are over the API takes writes, and a scheduler and a controller manager work"
	case p.Writable:
		return "the API takes writes, and nobody schedules or controls"
	default:
		return "the API takes no writes, and nobody schedules or controls; running workloads go on"
	}
}

// list tells texts to people.
func list(texts []string) string {
	if len(texts) == 0 {
		return "none"
	}
	return strings.Join(texts, ", ")
}

// text collects lines.
type text struct{ strings.Builder }

// line adds a line.
func (t *text) line(format string, args ...any) {
	t.WriteString(shown(fmt.Sprintf(format, args...)) + "\n")
}

// shown is a text in one line, with blanks for what a terminal would obey in place of showing
// it.
func shown(text string) string {
	return strings.TrimRight(strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return ' '
	}, text), " ")
}

func (t *text) field(name, value string) { t.line("   %-10s %s", name, value) }

func (t *text) list(title string, items []string) {
	t.line("")
	t.line("%s", title)
	if len(items) == 0 {
		t.line(" - nothing")
	}
	for _, item := range items {
		t.line(" - %s", item)
	}
}
