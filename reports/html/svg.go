package html

import (
	"html/template"
	"math"
	"strconv"
	"strings"
)

// svg builds a drawing. Every text that comes from a record goes through text or
// title, which escape it; the rest is ours.
type svg struct{ strings.Builder }

// raw writes our own markup and numbers, the latter with one decimal at most.
func (s *svg) raw(parts ...any) {
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			s.WriteString(p)
		case float64:
			s.WriteString(strconv.FormatFloat(math.Round(p*10)/10, 'f', -1, 64))
		case int:
			s.WriteString(strconv.Itoa(p))
		default:
			panic("svg: neither markup nor number")
		}
	}
}

func (s *svg) escape(text string) {
	s.WriteString(template.HTMLEscapeString(strings.ToValidUTF8(text, "�")))
}

func (s *svg) title(text string) {
	s.raw("<title>")
	s.escape(text)
	s.raw("</title>")
}

func (s *svg) text(class string, x, y float64, text string) { s.textBeside(class, x, 0, y, text) }

// textBeside is a text that keeps its distance from x when the drawing is zoomed.
func (s *svg) textBeside(class string, x, distance, y float64, text string) {
	s.raw("<text")
	if class != "" {
		s.raw(` class="`, class, `"`)
	}
	s.raw(` x="`, x, `" y="`, y)
	if distance != 0 {
		s.raw(`" dx="`, distance)
	}
	s.raw(`">`)
	s.escape(text)
	s.raw("</text>")
}

// bar is a rectangle with a tooltip. A path takes fewer bytes than a rect.
func (s *svg) bar(class string, x0, x1, y, height float64, tip string) {
	s.raw(`<path class="`, class, `" d="M`, x0, " ", y, "H", x1, "v", height, "H", x0, "z")
	if tip == "" {
		s.raw(`"/>`)
		return
	}
	s.raw(`">`)
	s.title(tip)
	s.raw("</path>")
}

func (s *svg) line(class string, x0, y0, x1, y1 float64) {
	s.raw(`<path class="`, class, `" d="M`, x0, " ", y0, "L", x1, " ", y1, `"/>`)
}

// cut shortens text to what about fits the width at the size of the drawing's
// labels; empty where next to nothing fits.
func cut(text string, width float64) string {
	const perRune = 6.1
	runes := []rune(text)
	room := int(width / perRune)
	switch {
	case len(runes) <= room:
		return text
	case room < 3:
		return ""
	default:
		return string(runes[:room-1]) + "…"
	}
}
