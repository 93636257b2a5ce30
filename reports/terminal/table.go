package terminal

import (
	"strings"
	"unicode/utf8"
)

const (
	gap         = 2
	mostLines   = 3 // of a cell; the HTML report has the rest
	widestClaim = 12
	widestShape = 24
)

var headings = [...]string{"CLAIM", "TOPOLOGY", "EXPECTED", "OBSERVED", "RECOVERY", "VERDICT"}

// table prints the rows in columns. The texts share what the other columns leave.
func (p *printer) table(rows []row) {
	widths := p.columns(rows)
	p.cells(headings, widths, nil)
	var rules [len(headings)]string
	for i, w := range widths {
		rules[i] = strings.Repeat("-", w)
	}
	p.cells(rules, widths, nil)
	previous := ""
	for _, r := range rows {
		claim := r.claim
		if claim == previous {
			claim = ""
		}
		previous = r.claim
		verdict := mark(r.verdict)
		p.cells([...]string{claim, r.topology, r.expected, r.observed, r.recovery, verdict}, widths,
			func(text string) string { return p.paint(r.verdict, text) })
	}
	p.line("")
}

func (p *printer) columns(rows []row) [len(headings)]int {
	widths := [...]int{len(headings[0]), len(headings[1]), 0, 0, len(headings[4]), len(headings[5])}
	for _, r := range rows {
		widths[0] = max(widths[0], min(width(r.claim), widestClaim))
		widths[1] = max(widths[1], min(width(r.topology), widestShape))
		widths[4] = max(widths[4], width(r.recovery))
		widths[5] = max(widths[5], width(mark(r.verdict)))
	}
	rest := p.width - gap*(len(headings)-1)
	for _, w := range widths {
		rest -= w
	}
	widths[2] = rest / 2
	widths[3] = rest - widths[2]
	return widths
}

// cells prints one row, as many lines high as its highest cell; paint colours
// the last column after its width is settled.
func (p *printer) cells(texts [len(headings)]string, widths [len(headings)]int, paint func(string) string) {
	var wrapped [len(headings)][]string
	height := 0
	for i, text := range texts {
		wrapped[i] = shorten(wrap(text, widths[i]), widths[i])
		height = max(height, len(wrapped[i]))
	}
	last := len(headings) - 1
	for n := range height {
		var line strings.Builder
		for i, lines := range wrapped {
			text := ""
			if n < len(lines) {
				text = lines[n]
			}
			pad := strings.Repeat(" ", widths[i]-width(text))
			if i == last && paint != nil && text != "" {
				text = paint(text)
			}
			if headings[i] == "RECOVERY" { // figures align on the right
				text, pad = pad+text, ""
			}
			line.WriteString(text + pad + strings.Repeat(" ", gap))
		}
		p.line(line.String())
	}
}

// blocks prints each row as a few lines, for a terminal too narrow for a table.
func (p *printer) blocks(rows []row) {
	for _, r := range rows {
		head := strings.TrimSpace(r.claim + "  " + r.topology)
		p.line(p.paint(r.verdict, mark(r.verdict)) + "  " + head)
		p.field("expected", r.expected)
		p.field("observed", r.observed)
		p.field("recovery", r.recovery)
	}
	p.line("")
}

func (p *printer) field(name, text string) {
	const indent = 12
	for i, l := range wrap(text, p.width-indent) {
		if i > 0 {
			name = ""
		}
		if l != "" {
			p.line("  " + name + strings.Repeat(" ", indent-2-len(name)) + l)
		}
	}
}

// wrap breaks text at spaces; a word that is too long is broken anywhere.
func wrap(text string, limit int) []string {
	lines := []string{""}
	for _, word := range strings.Fields(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case width(*last)+1+width(word) <= limit:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
		for last = &lines[len(lines)-1]; width(*last) > limit; last = &lines[len(lines)-1] {
			runes := []rune(*last)
			*last = string(runes[:limit])
			lines = append(lines, string(runes[limit:]))
		}
	}
	return lines
}

// shorten keeps the first lines and says where some were left out.
func shorten(lines []string, limit int) []string {
	if len(lines) <= mostLines {
		return lines
	}
	lines = lines[:mostLines]
	last := []rune(lines[mostLines-1])
	lines[mostLines-1] = string(last[:min(len(last), limit-3)]) + "..."
	return lines
}

func width(text string) int { return utf8.RuneCountInString(text) }
