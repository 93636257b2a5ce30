package gameday

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"faultline/clusters"
	"faultline/reports/record"
	"faultline/suites/gameday/plan"
	"faultline/suites/gameday/stop"
	"faultline/suites/probe"
)

func TestPredictionsAreHeldAgainstWhatIsObserved(t *testing.T) {
	all, writes, nothing := clusters.Outcome{Writable: true, Controlled: true}, clusters.Outcome{Writable: true}, clusters.Outcome{}
	const least = 40 * time.Second
	for _, test := range []struct {
		predicted, observed clusters.Outcome
		held                time.Duration
		want                record.Verdict
	}{
		{all, all, time.Minute, record.Held},
		{all, all, time.Second, record.Held},
		{nothing, nothing, time.Minute, record.Held},
		{all, writes, time.Minute, record.Broken},
		{nothing, all, time.Minute, record.Broken}, // a loss that costs nothing is a finding too
		{all, writes, time.Second, record.Inconclusive},
	} {
		judged := compare(test.predicted, test.observed, test.held, least)
		for _, aborted := range []string{"", "while it heals"} { // which changes nothing any more
			got, why := verdict(judged, aborted)
			if got != test.want || (why == "") != (got == record.Held) || strings.Contains(why, "while it heals") {
				t.Errorf("%+v, aborted %q: %s (%s)", test, aborted, got, why)
			}
		}
	}
}

func TestAnAbortBeforeTheJudgementProvesNothing(t *testing.T) {
	s, ctx, _ := waiting(t)
	noSteadyState := errors.New("no steady state")
	if got, why := verdict(unproven(ctx, noSteadyState), ""); got != record.Inconclusive || !strings.Contains(why, "no steady state") {
		t.Errorf("without a steady state: %s (%s)", got, why)
	}
	s.Abort("enough")
	for name, err := range map[string]error{
		"before the fault": unproven(ctx, noSteadyState),
		"in the hold":      context.Cause(ctx),
		"and it is unwell": errors.Join(context.Cause(ctx), errors.New("n1 is not ready")),
	} {
		if got, why := verdict(err, "enough"); got != record.Inconclusive || why != "aborted: enough" {
			t.Errorf("%s: %s (%s)", name, got, why)
		}
	}
	if err := unlessAborted(ctx, noSteadyState); err != nil {
		t.Errorf("what the abort cut off is told as an error: %v", err)
	}
	if err := unlessAborted(t.Context(), noSteadyState); !errors.Is(err, noSteadyState) {
		t.Errorf("what nobody aborted is told as %v", err)
	}
}

func TestAMetConditionAbortsTheDay(t *testing.T) {
	s, ctx, _ := waiting(t)
	met := make(chan bool, 8)
	met <- false
	met <- true
	s.stand(ctx, func() []stop.Finding { // it returns when the day is aborted
		return []stop.Finding{{Name: "contact", Met: <-met}}
	})
	if _, why := s.abortedAt(); why == "" {
		t.Error("the day goes on")
	}
	if len(met) > 0 {
		t.Error("it was aborted while all was well")
	}
}

// seeing is a watch on probes that have sent nothing: a test adds what they saw.
func seeing(t *testing.T) *watch {
	t.Helper()
	c := stacked(3, 1)
	c.Authorize(&rest.Config{Host: "https://lb:6443"})
	probes, err := probe.New(c, probe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &watch{cluster: c, probes: probes, queries: stop.Watch(t.Context(), nil, time.Hour), members: map[string]clusters.EtcdMember{}}
}

func TestConditionsCountWhatIsToGoOn(t *testing.T) {
	w := seeing(t)
	add := func(name probe.Name, vantage string, way record.Way) {
		t.Helper()
		line, err := w.probes.Timeline(name, vantage)
		if err != nil {
			t.Fatal(err)
		}
		line.Add(probe.Sample{At: w.now(), Latency: 7 * time.Millisecond, Way: way})
	}
	add(probe.Write, clusters.LoadBalancerVantage, record.Up)
	add(probe.Ready, "n1", record.Refused)
	lost := &plan.Experiment{Nodes: []string{"n1"}, Predicted: plan.Prediction{Writable: true}}
	if s := w.seen(lost, time.Minute, time.Minute); s.Samples != 1 || s.ErrorRate != 0 || s.Latency != 7*time.Millisecond {
		t.Errorf("what the experiment takes is counted: %+v", s)
	}
	if s := w.seen(nil, time.Minute, time.Minute); s.Samples != 2 || s.ErrorRate != 0.5 {
		t.Errorf("before an experiment everything is counted: %+v", s)
	}
	add(probe.Write, clusters.LoadBalancerVantage, record.EtcdError)
	if s := w.seen(lost, time.Minute, time.Minute); s.ErrorRate != 0.5 {
		t.Errorf("a failed write is not counted: %+v", s)
	}
	if s := w.seen(&plan.Experiment{}, time.Minute, time.Minute); s.Samples != 0 {
		t.Errorf("where nothing is predicted to work something is counted: %+v", s)
	}
}

func TestContactIsAnyAnswer(t *testing.T) {
	w := seeing(t)
	line, err := w.probes.Timeline(probe.Write, clusters.LoadBalancerVantage)
	if err != nil {
		t.Fatal(err)
	}
	second := time.Second
	line.Add(probe.Sample{At: 10 * second, Way: record.Refused})
	line.Add(probe.Sample{At: 90 * second, Way: record.TimedOut})
	if got := w.heard(0, 100*second); got != 10*second {
		t.Errorf("heard at %s, want the refusal and not the silence", got)
	}
	if got := w.heard(40*second, 100*second); got != 40*second {
		t.Errorf("heard at %s, want no look at what is older", got)
	}
	limits := stop.Limits{Contact: stop.Duration(30 * second)}.Filled()
	for _, f := range limits.Judge(stop.Seen{Silent: 100*second - w.heard(40*second, 100*second)}) {
		if f.Name == "contact" && !f.Met {
			t.Error("twice as long a silence as is allowed does not abort the day")
		}
	}
}

func TestTheQuorumsMarginIsThatOfTheExperiment(t *testing.T) {
	w := seeing(t)
	met := func(alive, margin int) bool {
		w.members = map[string]clusters.EtcdMember{}
		for _, m := range w.cluster.EtcdMembers()[:alive] {
			w.members[m.Unique()] = clusters.EtcdMember{}
		}
		for _, f := range w.findings(nil, stop.Limits{}, margin) {
			if f.Name == "quorum margin" {
				return f.Met
			}
		}
		return false
	}
	for _, test := range []struct {
		alive, margin int
		want          bool
	}{{3, noMargin, false}, {2, noMargin, false}, {1, noMargin, true}, {1, 0, true}, {1, -1, false}, {0, -1, false}} {
		if got := met(test.alive, test.margin); got != test.want {
			t.Errorf("%d of 3 members with a margin of %d: met %t, want %t", test.alive, test.margin, got, test.want)
		}
	}
}
