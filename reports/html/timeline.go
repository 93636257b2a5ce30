package html

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"faultline/reports/internal/format"
	"faultline/reports/record"
)

// The measures of a timeline, in units of its view box.
const (
	viewWidth  = 1080.0
	plotLeft   = 236.0
	plotRight  = 1010.0
	vantageAt  = 112.0
	flagHeight = 13.0
	bandHeight = 16.0
	laneHeight = 19.0
	barHeight  = 11.0
	axisHeight = 22.0
	leastBar   = 1.6 // a fault must be seen, however short
	leastSpan  = 2.0 // shorter neighbours are drawn as one
)

// timeline draws one experiment from top to bottom; y is where it has got to.
type timeline struct {
	svg
	e       *record.Experiment
	end     float64
	y       float64
	holders []string
}

func drawTimeline(e *record.Experiment) template.HTML {
	t := &timeline{e: e, end: horizon(e)}
	flags := t.flags()
	top := flagHeight*float64(rowsUsed(flags)) + 4
	lanes := top + bandHeight + 4
	bottom := lanes + laneHeight*float64(len(e.Probes)+len(e.Leases)+min(len(e.EtcdLeaders), 1)+len(changes(e))) + 4
	height := bottom + axisHeight

	t.raw(`<svg class="timeline" viewBox="0 0 `, viewWidth, " ", height, `" role="img" aria-label="`)
	t.escape(t.describe())
	t.raw(`">`)
	t.labels(top, lanes)
	t.raw(`<svg class="plot" x="`, plotLeft, `" width="`, plotRight-plotLeft, `" height="`, height, `" viewBox="`, plotLeft, " 0 ", plotRight-plotLeft, " ", height,
		`" data-seconds="`, t.end, `" data-top="`, lanes-2, `" data-bottom="`, bottom, `">`)
	t.window(lanes-2, bottom)
	t.axis(lanes-2, bottom)
	t.phases(top)
	t.y = lanes
	t.probes()
	t.leaders()
	t.leases()
	t.states()
	t.marks(flags, bottom)
	t.raw("</svg></svg>")
	return template.HTML(t.String()) // every text of the record went through escape
}

func (t *timeline) x(seconds float64) float64 {
	return plotLeft + (plotRight-plotLeft)*math.Min(math.Max(seconds/t.end, 0), 1)
}

// describe is the drawing in a sentence, for those who cannot see it.
func (t *timeline) describe() string {
	parts := []string{"Timeline of " + format.Seconds(t.end)}
	for _, p := range phasesOf(t.e) {
		parts = append(parts, fmt.Sprintf("%s from %s to %s", p.Name, clock(p.From), clock(p.To)))
	}
	var worst record.Probe
	for _, p := range t.e.Probes {
		if p.LongestOut > worst.LongestOut {
			worst = p
		}
	}
	if worst.LongestOut > 0 {
		parts = append(parts, fmt.Sprintf("longest out: %s at %s for %s", worst.Name, worst.Vantage, format.Seconds(worst.LongestOut)))
	}
	return strings.Join(parts, "; ")
}

// window shades the time in which the faults held.
func (t *timeline) window(top, bottom float64) {
	from, injected := t.e.Instant("injected")
	if !injected {
		return
	}
	to, undone := t.e.Instant("undone")
	if !undone {
		to = t.end
	}
	x0 := t.x(from)
	t.bar("window", x0, max(t.x(to), x0+leastBar), top, bottom-top, "")
}

func (t *timeline) axis(top, bottom float64) {
	var grid, ticks svg
	step := tickStep(t.end, 10)
	for i := 0; float64(i)*step <= t.end*1.0001; i++ {
		at := float64(i) * step
		x := t.x(at)
		grid.raw("M", x, " ", top, "V", bottom)
		ticks.text("", x, bottom+14, fmt.Sprintf("%g s", math.Round(at*1000)/1000))
	}
	t.raw(`<path class="grid" d="`, grid.String(), `"/><g class="tick">`, ticks.String(), "</g>")
	t.line("base", plotLeft, bottom, plotRight, bottom)
}

// tickStep is the smallest of 1, 2, 5, 10, 20 … that gives at most n steps.
func tickStep(length float64, n int) float64 {
	rough := length / float64(n)
	unit := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, factor := range []float64{1, 2, 5} {
		if rough <= factor*unit*1.0001 {
			return factor * unit
		}
	}
	return 10 * unit
}

func (t *timeline) phases(top float64) {
	for _, p := range phasesOf(t.e) {
		x0, x1 := t.x(p.From), t.x(p.To)
		t.bar("phase "+p.Class, x0, x1, top, bandHeight,
			fmt.Sprintf("%s: %s to %s (%s)", p.Name, clock(p.From), clock(p.To), format.Seconds(p.Length())))
		if label := cut(p.Name, x1-x0-6); label == p.Name {
			t.text("inside mid", (x0+x1)/2, top+12, label)
		}
	}
}

// labels is what stands beside the plot, and stays where it is when that is zoomed.
func (t *timeline) labels(top, lanes float64) {
	t.text("head", 0, top+12, "probe")
	t.text("head", vantageAt, top+12, "vantage point")
	t.text("head end", viewWidth, top+12, "longest out")
	var names, vantages, outs, rules svg
	y, previous := lanes, ""
	lane := func(name, vantage string, room float64) {
		if name != previous {
			rules.raw("M0 ", y, "H", plotLeft)
			names.text("", 0, y+13, cut(name, room))
		}
		if vantage != "" {
			vantages.text("", vantageAt, y+13, cut(vantage, plotLeft-vantageAt-6))
		}
		previous = name
		y += laneHeight
	}
	for _, p := range t.e.Probes {
		if p.LongestOut > 0 {
			outs.text("", viewWidth, y+13, format.Seconds(p.LongestOut))
		}
		lane(p.Name, p.Vantage, vantageAt-6)
	}
	if len(t.e.EtcdLeaders) > 0 {
		lane("etcd", "leader, term", vantageAt-6)
	}
	for _, l := range t.e.Leases {
		lane("lease "+l.Name, "", plotLeft-8)
	}
	for _, s := range changes(t.e) {
		lane(s.Of, "", plotLeft-8)
	}
	t.raw(`<path class="rule" d="`, rules.String(), `"/><g>`, names.String(), `</g><g class="vantage">`, vantages.String(), `</g><g class="end">`, outs.String(), "</g>")
}

func (t *timeline) probes() {
	for i := range t.e.Probes {
		t.lane(&t.e.Probes[i])
		t.y += laneHeight
	}
}

// lane draws up as one thin path without tooltips, so that what is not up stands
// out and the file stays small.
func (t *timeline) lane(p *record.Probe) {
	bars := simplify(p.Spans, t.end)
	middle := t.y + laneHeight/2
	var up svg
	for _, b := range bars {
		if b.way == record.Up {
			up.raw("M", t.x(b.from), " ", middle, "H", t.x(b.to))
		}
	}
	if up.Len() > 0 {
		t.raw(`<path class="w up" d="`, up.String(), `"/>`)
	}
	for _, b := range bars {
		if b.way != record.Up {
			x0 := t.x(b.from)
			t.bar("w "+classOf(b.way), x0, max(t.x(b.to), x0+leastBar), middle-barHeight/2, barHeight, p.Name+" at "+p.Vantage+": "+b.tip())
		}
	}
}

func (t *timeline) leases() {
	for _, l := range t.e.Leases {
		for _, h := range l.Holds {
			t.tenure(h.From, h.To, h.Holder, h.Holder,
				fmt.Sprintf("%s held by %s from %s to %s, transition %d", l.Name, h.Holder, clock(h.From), clock(h.To), h.Transitions))
		}
		t.overlaps(l)
		t.y += laneHeight
	}
}

// changes are the states that did not stay the same.
func changes(e *record.Experiment) []record.State {
	return slices.DeleteFunc(slices.Clone(e.States), func(s record.State) bool { return len(s.Spans) < 2 })
}

// stateClass is how what the API says of nodes is drawn; a process of an API server is drawn
// like a holder.
var stateClass = map[string]string{
	record.StateReady: "w up", record.StateNotReady: "w " + classOf(record.NotReady), record.StateUnknown: "w " + classOf(record.TimedOut),
}

func (t *timeline) states() {
	for _, s := range changes(t.e) {
		for n, span := range s.Spans {
			t.state(n, span, fmt.Sprintf("%s is %s from %s to %s", s.Of, span.Is, clock(span.From), clock(span.To)))
		}
		t.y += laneHeight
	}
}

func (t *timeline) state(n int, span record.StateSpan, tip string) {
	x0 := t.x(span.From)
	x1, middle := max(t.x(span.To), x0+leastBar), t.y+laneHeight/2
	switch class, ofNode := stateClass[span.Is]; {
	case span.Is == record.StateReady:
		t.raw(`<path class="`, class, `" d="M`, x0, " ", middle, "H", x1, `"/>`)
	case ofNode:
		t.bar(class, x0, x1, middle-barHeight/2, barHeight, tip)
	default:
		t.bar(fmt.Sprintf("holder h%d", n%4), x0, max(x1-1, x0+1), t.y+2.5, laneHeight-5, tip)
		if label := cut(span.Is, x1-x0-8); label != "" {
			t.textBeside("inside", x0, 5, t.y+13.5, label)
		}
	}
}

// overlaps marks the times in which a lock had two holders.
func (t *timeline) overlaps(l record.Lease) {
	until, holder := 0.0, ""
	for _, h := range l.Holds {
		if end := min(until, h.To); h.From < end && h.Holder != holder && h.Holder != "" && holder != "" {
			x0 := t.x(h.From)
			t.bar("overlap", x0, max(t.x(end), x0+leastBar), t.y+2.5, laneHeight-5,
				fmt.Sprintf("%s held by both %s and %s from %s to %s", l.Name, holder, h.Holder, clock(h.From), clock(end)))
		}
		if h.To > until {
			until, holder = h.To, h.Holder
		}
	}
}

func (t *timeline) leaders() {
	if len(t.e.EtcdLeaders) == 0 {
		return
	}
	for _, l := range t.e.EtcdLeaders {
		label := fmt.Sprintf("%s · term %d", l.Leader, l.Term)
		if l.Leader == "" {
			label = "no leader"
		}
		t.tenure(l.From, l.To, l.Leader, label, fmt.Sprintf("etcd leader: %s from %s to %s (term %d)",
			cmp.Or(l.Leader, "none"), clock(l.From), clock(l.To), l.Term))
	}
	t.y += laneHeight
}

func (t *timeline) tenure(from, to float64, holder, label, tip string) {
	x0 := t.x(from)
	x1 := max(t.x(to), x0+leastBar)
	t.bar("holder "+t.shade(holder), x0, max(x1-1, x0+1), t.y+2.5, laneHeight-5, tip)
	if label = cut(label, x1-x0-8); label != "" {
		class := "inside"
		if holder == "" {
			class = "inside over" // letters on hatching want a halo
		}
		t.textBeside(class, x0, 5, t.y+13.5, label)
	}
}

// shade gives a node the same shade in all lanes of an experiment.
func (t *timeline) shade(holder string) string {
	if holder == "" {
		return "nobody"
	}
	node, _, _ := strings.Cut(holder, "_")
	i := slices.Index(t.holders, node)
	if i < 0 {
		i = len(t.holders)
		t.holders = append(t.holders, node)
	}
	return fmt.Sprintf("h%d", i%4)
}

// flag names an instant of a fault above the lanes.
type flag struct {
	at, x float64
	state string
	tip   string
	row   int
	left  bool // the text is on the left of its line
}

// flags are the instants worth a line, each state of several faults at one
// place drawn once.
func (t *timeline) flags() []flag {
	var all []flag
	for _, f := range t.e.Faults {
		for _, state := range record.FaultStates[1:] { // nothing happens when a fault is planned
			at, reached := f.Instants[state]
			tip := fmt.Sprintf("%s: %s at %s", f.Name, state, clock(at))
			i := slices.IndexFunc(all, func(o flag) bool { return o.state == state && math.Abs(o.x-t.x(at)) < 4 })
			switch {
			case !reached:
			case i >= 0:
				all[i].tip += "\n" + tip
			default:
				all = append(all, flag{at: at, x: t.x(at), state: state, tip: tip})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b flag) int { return cmp.Compare(a.at, b.at) })
	place(all)
	return all
}

// place puts each flag in the first row where its text is free.
func place(all []flag) {
	var ends []float64
	for i := range all {
		f := &all[i]
		width := 6.1*float64(len(f.label())) + 8
		from := f.x
		if f.x+width > viewWidth-20 {
			f.left = true
			from = f.x - width
		}
		f.row = slices.IndexFunc(ends, func(end float64) bool { return end <= from })
		if f.row < 0 {
			f.row = len(ends)
			ends = append(ends, 0)
		}
		ends[f.row] = from + width
	}
}

func (f flag) label() string { return f.state + " " + clock(f.at) }

func rowsUsed(all []flag) int {
	rows := 0
	for _, f := range all {
		rows = max(rows, f.row+1)
	}
	return rows
}

func (t *timeline) marks(all []flag, bottom float64) {
	for _, f := range all {
		y := flagHeight*float64(f.row) + 10
		t.raw(`<g class="mark `, f.state, `">`)
		t.title(f.tip)
		t.line("stem", f.x, y-8, f.x, bottom)
		if f.left {
			t.textBeside("flag end", f.x, -3, y, f.label())
		} else {
			t.textBeside("flag", f.x, 3, y, f.label())
		}
		t.raw("</g>")
	}
}
