package gate

import (
	"math"
	"slices"

	"faultline/reports/record"
)

// earlierFor finds what a recovery took before the run, oldest first.
type earlierFor func(e *record.Experiment, recovery string) []record.Earlier

// inHistory looks among comparable runs that started before this one, so that no
// run is compared with itself.
func inHistory(entries []Entry, run *record.Run) earlierFor {
	type key struct {
		conditions               Conditions
		name, topology, recovery string
	}
	known := map[key][]record.Earlier{}
	for _, entry := range entries {
		if !entry.StartedAt.Before(run.StartedAt) {
			continue
		}
		for _, m := range entry.Experiments {
			for recovery, seconds := range m.Recoveries {
				k := key{entry.Conditions, m.Name, m.Topology, recovery}
				known[k] = append(known[k], record.Earlier{StartedAt: entry.StartedAt, Seconds: seconds})
			}
		}
	}
	return func(e *record.Experiment, recovery string) []record.Earlier {
		return known[key{conditionsOf(run.EnvironmentOf(e)), e.Name, e.Topology, recovery}]
	}
}

// inRecord looks at what the run was compared with when it was judged before.
func inRecord(g *record.Gate) earlierFor {
	return func(e *record.Experiment, recovery string) []record.Earlier {
		for _, c := range g.Comparisons {
			if c.Experiment == e.ID && c.Recovery == recovery {
				return c.Earlier
			}
		}
		return nil
	}
}

// compare puts each recovery of the experiments that passed beside earlier ones.
func (r *regression) compare(run *record.Run, earlier earlierFor) []record.Comparison {
	all := []record.Comparison{}
	for i := range run.Experiments {
		e := &run.Experiments[i]
		if !e.Verdict.Passes() {
			continue
		}
		for _, m := range recoveriesOf(e) {
			c := record.Comparison{Experiment: e.ID, Name: e.Name, Topology: e.Topology, Recovery: m.name, Seconds: m.seconds}
			c.Earlier = r.latest(earlier(e, m.name))
			r.judge(&c)
			all = append(all, c)
		}
	}
	return all
}

// latest are the records that count.
func (r *regression) latest(all []record.Earlier) []record.Earlier {
	count := slices.DeleteFunc(slices.Clone(all), func(e record.Earlier) bool { return e.StartedAt.Before(r.Since.Time) })
	return count[max(0, len(count)-int(r.Records)):]
}

// judge sets the limit, where there are enough records for one.
func (r *regression) judge(c *record.Comparison) {
	c.Records = len(c.Earlier)
	if c.Records < int(r.Least) {
		return
	}
	var figures []float64
	for _, e := range c.Earlier {
		figures = append(figures, e.Seconds)
	}
	median, spread := millis(record.Median(figures)), millis(spreadOf(figures))
	limit := millis(median + max(r.Spreads*spread, r.Relative*median, r.Seconds))
	c.Median, c.Spread, c.Limit = &median, &spread, &limit
	c.Regressed = c.Seconds > limit
}

// millis leaves out what nobody measures.
func millis(seconds float64) float64 { return math.Round(seconds*1000) / 1000 }

// normal is the standard deviation of a normal distribution in median absolute deviations.
const normal = 1.4826

// spreadOf is how far figures scatter around their median, whatever a few outliers do.
func spreadOf(figures []float64) float64 {
	median := record.Median(figures)
	deviations := make([]float64, len(figures))
	for i, f := range figures {
		deviations[i] = math.Abs(f - median)
	}
	return normal * record.Median(deviations)
}
