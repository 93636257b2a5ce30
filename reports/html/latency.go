package html

import (
	"fmt"
	"html/template"
	"math"
	"strconv"

	"faultline/reports/record"
)

// The measures of a drawing of latencies, in units of its view box.
const (
	latencyWidth  = 300.0
	latencyHeight = 12
)

// latencyTable shows for each probe what its successful samples took before the fault,
// while it held and after its undo.
type latencyTable struct {
	Axis template.HTML
	Rows []latencyRow
}

type latencyRow struct {
	*record.Probe
	Bars    template.HTML
	Figures []string // median and 99th percentile of each part, in milliseconds
}

// parts are the three parts of an experiment, in the order in which a row shows them.
func parts(p *record.Probe) []record.Latencies {
	return []record.Latencies{p.Before, p.During, p.After}
}

// Latencies is nil where no sample succeeded.
func (x experiment) Latencies() *latencyTable {
	axis, measured := latencyAxisOf(x.Probes)
	if !measured {
		return nil
	}
	table := &latencyTable{Axis: axis.draw()}
	for i := range x.Probes {
		p := &x.Probes[i]
		row := latencyRow{Probe: p, Bars: axis.bars(parts(p))}
		for _, l := range parts(p) {
			row.Figures = append(row.Figures, milliseconds(l.Count, l.P50), milliseconds(l.Count, l.P99))
		}
		table.Rows = append(table.Rows, row)
	}
	return table
}

// milliseconds has three significant figures or so; it is empty where nothing succeeded.
func milliseconds(count int, seconds float64) string {
	switch ms := seconds * 1000; {
	case count == 0:
		return ""
	case ms < 9.995:
		return strconv.FormatFloat(ms, 'f', 2, 64)
	case ms < 99.95:
		return strconv.FormatFloat(ms, 'f', 1, 64)
	default:
		return strconv.FormatFloat(ms, 'f', 0, 64)
	}
}

// latencyAxis is the decades of seconds, as powers of ten, that the latencies span.
type latencyAxis struct{ from, to int }

func latencyAxisOf(probes []record.Probe) (axis latencyAxis, measured bool) {
	least, most := math.Inf(1), 0.0
	for i := range probes {
		for _, l := range parts(&probes[i]) {
			if l.Count > 0 && l.P50 > 0 {
				least, most, measured = min(least, l.P50), max(most, l.Max, l.P99), true
			}
		}
	}
	if !measured {
		return latencyAxis{}, false
	}
	axis.from = int(math.Floor(math.Log10(least)))
	axis.to = max(int(math.Ceil(math.Log10(most))), axis.from+1)
	return axis, true
}

func (a latencyAxis) x(seconds float64) float64 {
	share := (math.Log10(seconds) - float64(a.from)) / float64(a.to-a.from)
	return math.Round(latencyWidth * min(max(share, 0), 1))
}

// draw labels the decades.
func (a latencyAxis) draw() template.HTML {
	var s svg
	s.raw(`<svg class="axis" viewBox="0 0 `, latencyWidth, " ", latencyHeight, `" aria-hidden="true">`)
	for decade := a.from; decade <= a.to; decade++ {
		class := "mid"
		switch decade {
		case a.from:
			class = "start"
		case a.to:
			class = "end"
		}
		s.text(class, a.x(math.Pow10(decade)), 9, decadeLabel(decade))
	}
	s.raw("</svg>")
	return template.HTML(s.String()) // numbers and our own words
}

func decadeLabel(decade int) string {
	if decade < 0 {
		return fmt.Sprintf("%g ms", math.Pow10(decade+3))
	}
	return fmt.Sprintf("%g s", math.Pow10(decade))
}

// bars draws a line from the median to the 99th percentile for each part, and a dot at
// the maximum.
func (a latencyAxis) bars(all []record.Latencies) template.HTML {
	var s svg
	s.raw(`<svg viewBox="0 0 `, latencyWidth, " ", latencyHeight, `">`)
	for i, l := range all {
		if l.Count == 0 || l.P50 <= 0 {
			continue
		}
		from, y := a.x(l.P50), 2+4*i
		to := max(a.x(l.P99), from+leastBar)
		s.raw(`<path class="l`, i, `" d="M`, from, " ", y, "H", to)
		if most := a.x(l.Max); most > to+1 {
			s.raw("M", most, " ", y, "h2")
		}
		s.raw(`"/>`)
	}
	s.raw("</svg>")
	return template.HTML(s.String()) // numbers only
}
