package html

import (
	"faultline/reports/internal/format"
	"faultline/reports/record"
)

// link leads to an experiment.
type link struct {
	Anchor, Name, Topology, Recovery string
	Verdict                          record.Verdict
}

// cell sums up the experiments of one place in a table: the worst verdict and the
// longest recovery.
type cell struct {
	Verdict  record.Verdict
	Recovery string
	Links    []link
}

func cellOf(experiments []experiment) cell {
	c := cell{Verdict: record.Untested}
	longest, measured := 0.0, false
	for _, e := range experiments {
		c.Verdict = record.Worse(c.Verdict, e.Verdict)
		c.Links = append(c.Links, link{e.Anchor, e.Name, e.Topology, e.Recovery, e.Verdict})
		if s, ok := e.Experiment.Recovery(); ok {
			longest, measured = max(longest, s), true
		}
	}
	if measured {
		c.Recovery = format.Seconds(longest)
	}
	return c
}

// Worst is the first of the experiments with the cell's verdict; nil where there is none.
func (c cell) Worst() *link {
	for i := range c.Links {
		if c.Links[i].Verdict == c.Verdict {
			return &c.Links[i]
		}
	}
	return nil
}
