package gameday

import (
	"context"
	"slices"
	"sync"
	"time"

	"faultline/clusters"
	"faultline/reports/record"
	"faultline/suites/gameday/page"
	"faultline/suites/gameday/plan"
	"faultline/suites/gameday/stop"
	"faultline/suites/probe"
)

// Intervals of looking at the cluster.
const (
	// judgeEvery is how often stop conditions are judged.
	judgeEvery = 100 * time.Millisecond
	// memberEvery is how often each member of etcd is asked, memberTime how long it may take.
	memberEvery = time.Second
	memberTime  = 2 * time.Second
	// prometheusEvery is how often Prometheus is asked.
	prometheusEvery = 5 * time.Second
	// shownWindow is how much of the past the page shows.
	shownWindow = 2 * time.Minute
)

// watch is what the day sees of the cluster.
type watch struct {
	cluster *clusters.Cluster
	probes  *probe.Set
	queries *stop.Watcher

	mu      sync.Mutex
	members map[string]clusters.EtcdMember // those that answered last, by Unique
}

func newWatch(ctx context.Context, c *clusters.Cluster, probes *probe.Set, limits stop.Limits) *watch {
	w := &watch{cluster: c, probes: probes, members: map[string]clusters.EtcdMember{}}
	w.queries = stop.Watch(ctx, limits.Prometheus, prometheusEvery)
	for _, m := range c.EtcdMembers() {
		w.ask(ctx, m)
		go w.follow(ctx, m)
	}
	return w
}

func (w *watch) follow(ctx context.Context, m clusters.Instance) {
	ticker := time.NewTicker(memberEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			w.ask(ctx, m)
		case <-ctx.Done():
			return
		}
	}
}

func (w *watch) ask(ctx context.Context, m clusters.Instance) {
	ctx, cancel := context.WithTimeout(ctx, memberTime)
	defer cancel()
	status, err := w.cluster.EtcdStatus(ctx, m)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		delete(w.members, m.Unique())
		return
	}
	w.members[m.Unique()] = status
}

// margin is how many members of etcd may still be lost.
func (w *watch) margin() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.members) - needed(w.cluster, clusters.Etcd)
}

// now is the present on the probes' clock.
func (w *watch) now() time.Duration { return w.probes.Clock().Now() }

// spared are the timelines of what has to go on during an experiment, by its prediction;
// with none, those of everything.
func (w *watch) spared(e *plan.Experiment) []*probe.Timeline {
	var all []*probe.Timeline
	for _, t := range w.probes.Timelines() {
		switch t.Name() {
		case probe.Write, probe.ConsistentRead:
			if e == nil || e.Predicted.Writable {
				all = append(all, t)
			}
		case probe.Ready:
			if e == nil || e.Predicted.Writable && !slices.Contains(e.Nodes, t.Vantage()) {
				all = append(all, t)
			}
		default: // by what stands behind the API, or from its cache
		}
	}
	return all
}

// seen is what a window of the past looked like to the stop conditions.
func (w *watch) seen(e *plan.Experiment, window, contact time.Duration) stop.Seen {
	now := w.now()
	s := stop.Seen{Margin: w.margin(), Silent: now - w.heard(max(0, now-2*contact), now)}
	failed := 0
	for _, t := range w.spared(e) {
		down, up := t.Down(now-window, now), t.Up(now-window, now)
		s.Samples += up + down
		failed += down
		if up > 0 {
			s.Latency = max(s.Latency, time.Duration(t.Latencies(now-window, now).P99*float64(time.Second)))
		}
	}
	if s.Samples > 0 {
		s.ErrorRate = float64(failed) / float64(s.Samples)
	}
	return s
}

// heard is when anything of the cluster answered last, be it with a refusal; nothing earlier
// than an instant is looked at, because this is asked often.
func (w *watch) heard(since, now time.Duration) time.Duration {
	last := since
	for _, t := range w.probes.Timelines() {
		for _, sample := range slices.Backward(t.Samples(last, now)) {
			if sample.Way != record.TimedOut && sample.Way != record.Starved && sample.Way != record.Pending {
				last = max(last, sample.At)
				break
			}
		}
	}
	return last
}

// findings holds what is seen against the limits. What the experiment is meant to take of
// etcd does not count against the quorum's margin.
func (w *watch) findings(e *plan.Experiment, limits stop.Limits, predictedMargin int) []stop.Finding {
	limits = limits.Filled()
	if limits.QuorumMargin > predictedMargin {
		limits.QuorumMargin = max(predictedMargin, stop.NoMargin)
	}
	return append(limits.Judge(w.seen(e, time.Duration(limits.Window), time.Duration(limits.Contact))), w.queries.Findings()...)
}

// show puts what is seen onto the page.
func (w *watch) show(p *page.Snapshot) {
	now := w.now()
	p.Probes, p.Components = nil, w.components()
	for _, t := range w.probes.Timelines() {
		p.Probes = append(p.Probes, shownProbe(t, now))
	}
}

func shownProbe(t *probe.Timeline, now time.Duration) page.Probe {
	from := max(0, now-shownWindow)
	r := t.Record(probe.Window{Start: from, Injected: now, Undone: now, End: now})
	p := page.Probe{
		Name: string(t.Name()), Vantage: t.Vantage(), Spans: r.Spans, P50: r.Before.P50,
		Seconds: (now - from).Seconds(), Window: shownWindow.Seconds(),
	}
	if down, up := t.Down(from, now), t.Up(from, now); down+up > 0 {
		p.ErrorRate = float64(down) / float64(down+up)
	}
	if last, ok := t.Last(); ok {
		p.Way = last.Way
	}
	return p
}

// components are the API servers, the members of etcd and the leaders of the others.
func (w *watch) components() []page.Component {
	var all []page.Component
	for _, t := range w.probes.Of(probe.Ready) {
		c := page.Component{Name: string(clusters.APIServer), Node: t.Vantage(), State: "unknown"}
		if last, ok := t.Last(); ok && last.Way == record.Up {
			c.State = "up"
		} else if ok {
			c.State = "down"
		}
		all = append(all, c)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.cluster.EtcdMembers() {
		c := page.Component{Name: m.Name(), Node: m.Node.Name, State: "down"}
		if status, ok := w.members[m.Unique()]; ok {
			c.State, c.Leads = "up", status.ID == status.Leader
		}
		all = append(all, c)
	}
	for _, component := range []clusters.Component{clusters.Scheduler, clusters.ControllerManager} {
		if held, ok := w.probes.Leases().Holder(component, w.now()); ok {
			all = append(all, page.Component{Name: string(component), Node: held.Holder, State: "up", Leads: true})
		}
	}
	return all
}
