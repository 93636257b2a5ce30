// Package stop holds the conditions under which a game day is aborted.
//
// A condition that cannot be judged protects nobody. It counts as met.
package stop

import (
	"fmt"
	"slices"
	"time"

	"faultline/suites/gameday/strict"
)

// What limits have that say nothing else.
const (
	DefaultWindow  = Duration(10 * time.Second)
	DefaultContact = Duration(30 * time.Second)
)

// NoMargin is the margin of an experiment that is meant to lose the quorum.
const NoMargin = -1

// Limits are what an experiment must not exceed.
type Limits struct {
	// ErrorRate is the largest share, 0 to 1, of failed samples over Window, of all probes
	// that the experiment's prediction says keep working; 0: no limit.
	ErrorRate float64 `yaml:"errorRate"`
	// Latency is the largest 99th percentile of successful samples over Window; 0: no limit.
	Latency Duration `yaml:"latency"`
	// Window is the time over which the caller measures; 0: DefaultWindow.
	Window Duration `yaml:"window,omitempty"`
	// QuorumMargin is the least number of etcd's members that may still be lost; NoMargin:
	// no limit.
	QuorumMargin int `yaml:"quorumMargin"`
	// Contact is the longest time without a sample of any kind, good or bad, from any
	// vantage; 0: DefaultContact.
	Contact Duration `yaml:"contact,omitempty"`
	// Prometheus are conditions of the cluster's owner.
	Prometheus []Query `yaml:"prometheus,omitempty"`
}

// Filled is the limits with the defaults in place of zeros that stand for them.
func (l Limits) Filled() Limits {
	if l.Window == 0 {
		l.Window = DefaultWindow
	}
	if l.Contact == 0 {
		l.Contact = DefaultContact
	}
	return l
}

// Validate returns all that is wrong with the limits, joined, or nil.
func (l Limits) Validate() error { return l.Problems().Err() }

// Problems are all that is wrong with the limits. Their fields begin with stop, as in a plan.
func (l Limits) Problems() strict.Problems {
	var ps strict.Problems
	l = l.Filled()
	if !(l.ErrorRate >= 0 && l.ErrorRate <= 1) {
		ps.Add("stop.errorRate", "want a share of 0 to 1, not %v", l.ErrorRate)
	}
	if l.Latency < 0 {
		ps.Add("stop.latency", "want a duration, or 0s for no limit, not %s", l.Latency)
	}
	if l.Window < Duration(time.Second) {
		ps.Add("stop.window", "want 1s or more, not %s", l.Window)
	}
	if l.QuorumMargin < NoMargin {
		ps.Add("stop.quorumMargin", "want a number of members, or %d for no limit, not %d", NoMargin, l.QuorumMargin)
	}
	if l.Contact < Duration(time.Second) {
		ps.Add("stop.contact", "want 1s or more, not %s", l.Contact)
	}
	for i, q := range l.Prometheus {
		field := fmt.Sprintf("stop.prometheus[%d]", i)
		q.check(&ps, field)
		if slices.ContainsFunc(l.Prometheus[:i], func(other Query) bool { return other.Name == q.Name }) {
			ps.Add(field+".name", "%q is there twice: want another one", q.Name)
		}
	}
	return ps
}

// Conditions tells people when an experiment is aborted, one condition a line.
func (l Limits) Conditions() []string {
	l = l.Filled()
	var all []string
	if l.ErrorRate > 0 {
		all = append(all, fmt.Sprintf("more than %s of the requests that should succeed fail, over %s", percent(l.ErrorRate), l.Window))
	}
	if l.Latency > 0 {
		all = append(all, fmt.Sprintf("the 99th percentile of their latency exceeds %s, over %s", l.Latency, l.Window))
	}
	switch {
	case l.QuorumMargin == 0:
		all = append(all, "etcd loses its quorum")
	case l.QuorumMargin > 0:
		all = append(all, fmt.Sprintf("etcd would lose its quorum with %d more of its members, or has lost it", l.QuorumMargin))
	}
	all = append(all, fmt.Sprintf("nothing has been heard from the cluster for more than %s", l.Contact))
	for _, q := range l.Prometheus {
		all = append(all, fmt.Sprintf("%s (%s at %s) is not %s, or cannot be read", q.Name, q.Query, q.place(), q.limit()))
	}
	return all
}

// percent tells a share to people.
func percent(share float64) string { return fmt.Sprintf("%.3g%%", 100*share) }
