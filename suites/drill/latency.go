package drill

import (
	"fmt"
	"strings"
	"time"

	"faultline/suites/probe"
)

// Latency tells how long the requests of a probe took that were sent since an instant and
// succeeded.
func (d *Drill) Latency(name probe.Name, since time.Time) string {
	var words []string
	for _, t := range d.timelines(name, nil) {
		l := t.Latencies(d.At(since), d.now())
		words = append(words, fmt.Sprintf("of %d times %s the median took %.0f ms and p99 %.0f ms", l.Count, t, 1000*l.P50, 1000*l.P99))
	}
	return strings.Join(words, ", ")
}
