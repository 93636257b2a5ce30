package gate

import (
	"fmt"
	"regexp"
	"strings"

	"faultline/reports/record"
)

// recovery is how long one function took to come back in an experiment.
type recovery struct {
	name    string
	seconds float64
}

// recoveriesOf are the recoveries of an experiment under names that are the same
// in every run. Several vantage points of one expectation are one recovery, as
// long as the slowest: which machine is hit may be chance. What is expected again
// later in the experiment is another recovery.
func recoveriesOf(e *record.Experiment) []recovery {
	var all []recovery
	times := map[string]int{}
	seen := map[string]bool{}
	previous := ""
	for _, o := range e.Observations {
		vantage := strings.TrimSpace(figures.ReplaceAllString(withoutCluster(o.Expected, e.Cluster), ""))
		name := machineNumber.ReplaceAllString(vantage, "$1")
		if name != previous || seen[vantage] {
			clear(seen)
		}
		first := len(seen) == 0
		previous, seen[vantage] = name, true
		switch {
		case !o.Recovery || o.Seconds == nil:
			previous = ""
		case first:
			times[name]++
			if n := times[name]; n > 1 {
				name = fmt.Sprintf("%s, time %d", name, n)
			}
			all = append(all, recovery{name, *o.Seconds})
		default:
			last := &all[len(all)-1]
			last.seconds = max(last.seconds, *o.Seconds)
		}
	}
	return all
}

var (
	// figures are bounds, which follow from settings: "after 15.0 s to 118.8 s".
	figures = regexp.MustCompile(`( (within|after|for|to|at most|at least))? \d+(\.\d+)? (ms|s|m|h)\b`)
	// machineNumber tells machines of one role apart: "control-plane2".
	machineNumber = regexp.MustCompile(`([a-z])\d+\b`)
)

// withoutCluster leaves out the name of the cluster, which differs from run to run.
func withoutCluster(text, cluster string) string {
	if cluster == "" {
		return text
	}
	return strings.ReplaceAll(text, cluster+"-", "")
}
