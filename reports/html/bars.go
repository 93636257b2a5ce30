package html

import (
	"fmt"

	"faultline/reports/internal/format"
	"faultline/reports/record"
)

// bar is a stretch of a lane in one look. It stands for one span or, where spans
// are too short to be told apart, for several.
type bar struct {
	from, to float64
	way      record.Way
	counts   map[record.Way]int // set where several ways were merged
	count    int
	example  string
}

// simplify merges what is too short to be told apart. A lane of few bars keeps more: what
// only shows when it is zoomed.
func simplify(spans []record.Span, length float64) []bar {
	const (
		finest   = 1. / 4096                          // of the length: a sample of an experiment of minutes
		coarsest = leastSpan / (plotRight - plotLeft) // seen without zoom
		few      = 12
	)
	share := finest
	bars := barsOf(spans, share*length)
	for len(bars) > few && share < coarsest {
		share = min(2*share, coarsest)
		bars = barsOf(spans, share*length)
	}
	return bars
}

// barsOf merges neighbours of the same way, and runs of spans that are each
// shorter than resolution into one bar in the way in which the target was down
// most often: a flicker shows as a fault, never as up.
func barsOf(spans []record.Span, resolution float64) []bar {
	var bars []bar
	for _, s := range spans {
		next := bar{from: s.From, to: s.To, way: s.Way, count: s.Count, example: s.Example}
		if n := len(bars); n > 0 && next.from-bars[n-1].to < resolution && bars[n-1].takes(next, resolution) {
			bars[n-1].merge(next)
			continue
		}
		bars = append(bars, next)
	}
	return bars
}

func (b *bar) takes(next bar, resolution float64) bool {
	if b.counts == nil && b.way == next.way {
		return true
	}
	short := next.to-next.from < resolution
	return short && (b.counts != nil || b.to-b.from < resolution)
}

func (b *bar) merge(next bar) {
	if b.counts == nil && b.way != next.way {
		b.counts = map[record.Way]int{b.way: b.count}
	}
	if b.counts != nil {
		b.counts[next.way] += next.count
		b.way = worstOf(b.counts)
	}
	b.to = next.to
	b.count += next.count
	if b.example == "" {
		b.example = next.example
	}
}

func worstOf(counts map[record.Way]int) record.Way {
	worst, most := record.Up, -1
	for _, w := range record.Ways[1:] {
		if n, ok := counts[w]; ok && n > most {
			worst, most = w, n
		}
	}
	return worst
}

func (b *bar) tip() string {
	const longest = 90
	tip := fmt.Sprintf("%s from %s to %s (%s, ", b.way, clock(b.from), clock(b.to), format.Seconds(b.to-b.from))
	if b.counts == nil {
		tip += format.Count(b.count, "sample") + ")"
	} else {
		tip += "flickering:"
		for _, w := range record.Ways {
			if n := b.counts[w]; n > 0 {
				tip += fmt.Sprintf(" %d %s", n, w)
			}
		}
		tip += ")"
	}
	if b.example == "" || b.way == record.Up {
		return tip
	}
	example := []rune(b.example)
	if len(example) > longest {
		example = append(example[:longest-1], '…')
	}
	return tip + ": " + string(example)
}

// clock writes an instant, finer than a duration is written.
func clock(s float64) string { return fmt.Sprintf("%.2f s", s) }
