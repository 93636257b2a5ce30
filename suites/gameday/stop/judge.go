package stop

import (
	"strconv"
	"time"
)

// Seen is what the caller measured.
type Seen struct {
	// ErrorRate is the share of failed samples, Latency the 99th percentile of the
	// successful ones and Samples the number of all, over Limits.Window.
	ErrorRate float64
	Latency   time.Duration
	Samples   int
	// Margin is how many members of etcd may still be lost; negative: its quorum is.
	Margin int
	// Silent is how long ago the last sample of any kind is.
	Silent time.Duration
}

// Finding is a condition and what became of it, for people.
type Finding struct {
	Name, Value, Limit string
	// Met: abort.
	Met bool
}

// Judge holds what was measured against each limit that is set: error rate, latency, quorum
// margin and contact, in this order. No samples at all are a matter of the contact only.
func (l Limits) Judge(s Seen) []Finding {
	l = l.Filled()
	var all []Finding
	if l.ErrorRate > 0 {
		f := Finding{Name: "error rate", Value: percent(s.ErrorRate), Limit: "at most " + percent(l.ErrorRate)}
		all = append(all, f.over(s.Samples, s.ErrorRate <= l.ErrorRate))
	}
	if l.Latency > 0 {
		f := Finding{Name: "latency", Value: s.Latency.String(), Limit: "at most " + l.Latency.String()}
		all = append(all, f.over(s.Samples, s.Latency <= time.Duration(l.Latency)))
	}
	if l.QuorumMargin > NoMargin {
		all = append(all, Finding{"quorum margin", strconv.Itoa(s.Margin),
			"at least " + strconv.Itoa(l.QuorumMargin), s.Margin < l.QuorumMargin})
	}
	return append(all, Finding{"contact", "silent for " + s.Silent.String(),
		"at most " + l.Contact.String(), s.Silent > time.Duration(l.Contact)})
}

// over is the finding for a number of samples. It asks whether all is well, as a share that
// is no number is neither below nor above a limit.
func (f Finding) over(samples int, well bool) Finding {
	if samples == 0 {
		f.Value = "no samples"
		return f
	}
	f.Met = !well
	return f
}
