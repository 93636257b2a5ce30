package html

import (
	"html/template"
	"slices"

	"faultline/reports/internal/format"
	"faultline/reports/record"
)

// spread is what a recovery took in earlier runs, in order.
type spread []float64

func spreadOf(past *record.Comparison) spread {
	var s spread
	if past != nil {
		for _, e := range past.Earlier {
			s = append(s, e.Seconds)
		}
	}
	slices.Sort(s)
	return s
}

func (s spread) least() float64 { return s[0] }
func (s spread) most() float64  { return s[len(s)-1] }

// Words are the least, the median and the most; empty without runs.
func (s spread) Words() string {
	switch len(s) {
	case 0:
		return ""
	case 1:
		return format.Seconds(s[0]) + " once"
	default:
		return format.Seconds(s.least()) + " – " + format.Seconds(record.Median(s)) + " – " + format.Seconds(s.most()) + " in " + format.Count(len(s), "run")
	}
}

// The measures of a strip, in units of its view box.
const (
	stripWidth  = 200.0
	stripMargin = 6.0
	stripMiddle = 8.0
)

// draw puts both recovery times on a line with those of earlier runs: a bar from the least
// to the most of them with a stroke at the median, a ring for before, a dot for after.
func (p pair) draw() template.HTML {
	longest := max(p.Before.Seconds, p.After.Seconds)
	if len(p.Past) > 0 {
		longest = max(longest, p.Past.most())
	}
	if longest <= 0 {
		return ""
	}
	x := func(seconds float64) float64 { return stripMargin + (stripWidth-2*stripMargin)*seconds/longest }
	var s svg
	s.raw(`<svg class="strip" viewBox="0 0 `, stripWidth, " ", 2*stripMiddle, `" aria-hidden="true">`)
	s.line("base", stripMargin, stripMiddle, stripWidth-stripMargin, stripMiddle)
	if len(p.Past) > 0 {
		from, to := x(p.Past.least()), x(p.Past.most())
		s.bar("range", from, max(to, from+leastBar), stripMiddle-3, 6, "")
		middle := x(record.Median(p.Past))
		s.line("median", middle, stripMiddle-5, middle, stripMiddle+5)
	}
	s.spot("before", p.Before, x)
	s.spot("after", p.After, x)
	s.raw("</svg>")
	return template.HTML(s.String()) // numbers and our own words
}

func (s *svg) spot(class string, of side, x func(float64) float64) {
	if of.Measured {
		s.raw(`<circle class="`, class, `" cx="`, x(of.Seconds), `" cy="`, stripMiddle, `" r="4"/>`)
	}
}
