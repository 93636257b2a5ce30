package drill

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/onsi/ginkgo/v2"

	"faultline/reports/record"
	"faultline/suites/probe"
)

// Pace is how long requests took in a while. Each figure is the median of those of several
// spans, which a hiccup of this machine in one of them does not move. A request that failed
// took for ever.
type Pace struct{ Median, P99 time.Duration }

const (
	paceSpans = 5
	// paceSpan has 120 requests of a probe, of whose p99 one is slower.
	paceSpan = 6 * time.Second
	// paceEnd is when a request that was sent last has been answered or given up.
	paceEnd = 2 * time.Second
)

// forever is how long a request takes that fails.
const forever = time.Duration(math.MaxInt64)

// Pace watches the requests of a probe for half a minute.
func (d *Drill) Pace(name probe.Name) Pace {
	ginkgo.GinkgoHelper()
	begun := d.now()
	end := begun + paceSpans*paceSpan
	d.tell("for %s the pace of %s is taken", seconds(end-begun), name)
	await(d.ctx, func() bool { return d.now() >= end+paceEnd })
	d.require(d.ctx.Err(), "interrupted")
	timeline := d.timelines(name, nil)[0]
	var spans [][]probe.Sample
	for at := begun; at < end; at += paceSpan {
		spans = append(spans, timeline.Samples(at, at+paceSpan))
	}
	pace, err := paceOf(spans)
	d.require(err, "no pace of "+string(name))
	return pace
}

func paceOf(spans [][]probe.Sample) (Pace, error) {
	var medians, p99s []time.Duration
	for _, span := range spans {
		var took []time.Duration
		for _, s := range span {
			switch {
			case s.Down():
				took = append(took, forever)
			case s.Way == record.Up:
				took = append(took, s.Latency)
			}
		}
		if len(took) == 0 {
			return Pace{}, errors.New("no request was sent in time")
		}
		slices.Sort(took)
		medians, p99s = append(medians, probe.Percentile(took, 50)), append(p99s, probe.Percentile(took, 99))
	}
	if len(spans) == 0 {
		return Pace{}, errors.New("nobody has watched")
	}
	slices.Sort(medians)
	slices.Sort(p99s)
	return Pace{probe.Percentile(medians, 50), probe.Percentile(p99s, 50)}, nil
}

// Times is how many times as long requests took as at another pace: the median and p99.
func (p Pace) Times(other Pace) (median, p99 float64) {
	return float64(p.Median) / float64(other.Median), float64(p.P99) / float64(other.P99)
}

// Answered fails where more than one request in a hundred had no answer.
func (p Pace) Answered() error {
	return Unless(p.P99 < forever, errors.New("some requests had no answer"))
}

// String tells the figures to people.
func (p Pace) String() string {
	return fmt.Sprintf("the median took %s and p99 %s", tookText(p.Median), tookText(p.P99))
}

func tookText(took time.Duration) string {
	if took == forever {
		return "for ever"
	}
	return fmt.Sprintf("%.1f ms", 1000*took.Seconds())
}
