package plan

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"faultline/clusters"
	"faultline/fault"
	"faultline/suites/gameday/stop"
	"faultline/suites/gameday/strict/stricttest"
)

// words is text as other people write it, with what YAML gives a meaning to.
func words(t *rapid.T, label string) string {
	return rapid.OneOf(rapid.StringMatching(`[ -~äß€]{0,30}[!-~]`), rapid.SampledFrom([]string{"~", "yes", "1", "<<", "=", "2026-11-25", "a: b", "# c", "- d", "0x1", "1:30"})).Draw(t, label)
}

func some(t *rapid.T, label string, from []string, least int) []string {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(from), least, -1, rapid.ID).Draw(t, label)
}

func duration(t *rapid.T, label string, from, to time.Duration) Duration {
	return Duration(rapid.Int64Range(int64(from), int64(to)).Draw(t, label))
}

// drawPlan draws a plan that may be run at the time created.
func drawPlan(t *rapid.T) Plan {
	p := Plan{
		Version: Version, CreatedAt: created, ExpiresAt: created.Add(time.Duration(rapid.IntRange(1, 1e6).Draw(t, "validity")) * time.Second),
		Target: Target{
			Name: words(t, "name"), Server: "https://10.0.0.10:6443", CA: rapid.StringMatching(authority.String()).Draw(t, "CA"),
			UID: rapid.StringMatching(uid.String()).Draw(t, "UID"), Consent: rapid.StringMatching(revision.String()).Draw(t, "consent"),
		},
		Unknown: rapid.SliceOf(rapid.StringMatching(`[!-~]{1,20}`)).Draw(t, "unknown"),
		Stop: stop.Limits{
			ErrorRate: rapid.Float64Range(0, 1).Draw(t, "errors"), Latency: duration(t, "latency", 0, time.Minute),
			Window: duration(t, "window", time.Second, time.Minute), Contact: duration(t, "contact", time.Second, time.Minute),
			QuorumMargin: rapid.IntRange(-1, 3).Draw(t, "margin"),
		},
	}
	var names []string
	for i := range rapid.IntRange(1, 5).Draw(t, "nodes") {
		n := Node{Name: fmt.Sprintf("n%d", i+1), Role: words(t, "role"), Address: fmt.Sprintf("10.0.0.%d", i+1), Components: some(t, "components", components(), 0)}
		p.Target.Nodes, names = append(p.Target.Nodes, n), append(names, n.Name)
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "experiments") {
		entry := rapid.SampledFrom(fault.Catalogue()).Draw(t, "fault")
		e := Experiment{
			Name: fmt.Sprintf("experiment %d", i+1), Fault: string(entry.Kind), Family: entry.Family, Nodes: some(t, "hit", names, 1),
			Losing: some(t, "losing", components(), 0), Hold: duration(t, "hold", time.Second, time.Hour), Takes: duration(t, "takes", 1, 2*time.Hour),
			Predicted: Prediction{rapid.Bool().Draw(t, "writable"), rapid.Bool().Draw(t, "controlled")}, Undo: words(t, "undo"),
		}
		for _, n := range e.Nodes {
			e.Targets = append(e.Targets, "kube-scheduler on "+n)
		}
		p.Experiments = append(p.Experiments, e)
	}
	return p
}

func components() []string {
	var all []string
	for _, c := range clusters.Components {
		all = append(all, string(c))
	}
	return all
}

// judge is what becomes of the text of a plan on a cluster at a time.
func judge(text string, now Target, at time.Time) error {
	p, err := Read(strings.NewReader(text))
	if err != nil {
		return err
	}
	return p.Matches(now, at)
}

func TestValidPlansAreReadAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		text := written(t, p)
		got, err := Read(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if want := normal(p); !reflect.DeepEqual(normal(got), want) {
			t.Fatalf("want %+v\ngot %+v\nfrom\n%s", want, got, text)
		}
		if err := got.Matches(p.Target, created); err != nil {
			t.Fatalf("its own cluster is refused: %v", err)
		}
	})
}

// normal is the plan with nothing in place of empty lists.
func normal(p Plan) Plan {
	none := func(list *[]string) {
		if len(*list) == 0 {
			*list = nil
		}
	}
	none(&p.Unknown)
	for i := range p.Target.Nodes {
		none(&p.Target.Nodes[i].Components)
	}
	for i := range p.Experiments {
		none(&p.Experiments[i].Losing)
	}
	return p
}

func TestMalformedPlansAreRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		broken, how := stricttest.Break(t, []byte(written(t, p)),
			"target.nodes[].host", "target.nodes[].address", "stop.window", "stop.contact")
		if judge(string(broken), p.Target, created) == nil {
			t.Fatalf("%s: a broken plan would be run:\n%s", how, broken)
		}
	})
}

// changes make a plan one that does not fit its cluster or its day, or that cannot be meant.
var changes = map[string]func(*rapid.T, *Plan){
	"UID":      func(t *rapid.T, p *Plan) { p.Target.UID = other(t, uid.String(), p.Target.UID) },
	"CA":       func(t *rapid.T, p *Plan) { p.Target.CA = other(t, authority.String(), p.Target.CA) },
	"consent":  func(t *rapid.T, p *Plan) { p.Target.Consent = other(t, revision.String(), p.Target.Consent) },
	"server":   func(t *rapid.T, p *Plan) { p.Target.Server = other(t, `https://[a-z]{1,9}`, p.Target.Server) },
	"half UID": func(t *rapid.T, p *Plan) { p.Target.UID = p.Target.UID[:rapid.IntRange(0, 35).Draw(t, "length")] },
	"half CA":  func(t *rapid.T, p *Plan) { p.Target.CA = p.Target.CA[:rapid.IntRange(0, 70).Draw(t, "length")] },
	"half consent": func(t *rapid.T, p *Plan) {
		p.Target.Consent = p.Target.Consent[:rapid.IntRange(0, 37).Draw(t, "length")]
	},
	"expired": func(t *rapid.T, p *Plan) {
		p.ExpiresAt = created.Add(-time.Duration(rapid.IntRange(0, 1e6).Draw(t, "ago")) * time.Second)
		p.CreatedAt = p.ExpiresAt.Add(-time.Hour)
	},
	"backwards":      func(_ *rapid.T, p *Plan) { p.CreatedAt = p.ExpiresAt },
	"a node more":    func(_ *rapid.T, p *Plan) { p.Target.Nodes = append(p.Target.Nodes, Node{Name: "n9", Role: "worker"}) },
	"a node twice":   func(_ *rapid.T, p *Plan) { p.Target.Nodes = append(p.Target.Nodes, p.Target.Nodes[0]) },
	"another node":   func(_ *rapid.T, p *Plan) { p.Target.Nodes[0].Name = "n9" },
	"address":        func(_ *rapid.T, p *Plan) { p.Target.Nodes[0].Address = "10.0.0.9" },
	"role":           func(_ *rapid.T, p *Plan) { p.Target.Nodes[0].Role += "s" },
	"component":      func(_ *rapid.T, p *Plan) { p.Target.Nodes[0].Components = append(p.Target.Nodes[0].Components, "etcd") },
	"foreign node":   func(_ *rapid.T, p *Plan) { p.Experiments[0].Nodes = append(p.Experiments[0].Nodes, "n9") },
	"foreign target": func(_ *rapid.T, p *Plan) { p.Experiments[0].Targets[0] = "etcd on n9" },
	"hidden node":    func(_ *rapid.T, p *Plan) { p.Experiments[0].Nodes = p.Experiments[0].Nodes[1:] },
	"fault":          func(t *rapid.T, p *Plan) { p.Experiments[0].Fault = other(t, `x[a-z]{3,9}`, "") },
	"family":         func(t *rapid.T, p *Plan) { p.Experiments[0].Family = other(t, `x[a-z]{3,9}`, "") },
	"losing":         func(t *rapid.T, p *Plan) { p.Experiments[0].Losing = []string{other(t, `x[a-z]{3,9}`, "")} },
	"short":          func(t *rapid.T, p *Plan) { p.Experiments[0].Hold = duration(t, "hold", -time.Hour, time.Second-1) },
	"long":           func(t *rapid.T, p *Plan) { p.Experiments[0].Hold = duration(t, "hold", time.Hour+1, 1000*time.Hour) },
	"name":           func(_ *rapid.T, p *Plan) { p.Experiments = append(p.Experiments, p.Experiments[0]) },
	"nothing":        func(_ *rapid.T, p *Plan) { p.Experiments = nil },
	"errors":         func(t *rapid.T, p *Plan) { p.Stop.ErrorRate = rapid.Float64Range(1.001, 1e9).Draw(t, "share") },
	"margin":         func(t *rapid.T, p *Plan) { p.Stop.QuorumMargin = rapid.IntRange(-9, -2).Draw(t, "margin") },
	"version": func(t *rapid.T, p *Plan) {
		p.Version = rapid.IntRange(-9, 9).Filter(func(n int) bool { return n != Version }).Draw(t, "version")
	},
}

// other draws a word of the pattern that is not the one given.
func other(t *rapid.T, pattern, than string) string {
	return rapid.StringMatching(pattern).Filter(func(s string) bool { return s != than }).Draw(t, "other")
}

func TestChangedPlansAreRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		was := p.Target
		was.Nodes = slices.Clone(was.Nodes)
		if err := judge(written(t, p), was, created); err != nil {
			t.Fatalf("a valid plan is refused: %v", err)
		}
		how := rapid.SampledFrom(slices.Sorted(maps.Keys(changes))).Draw(t, "change")
		changes[how](t, &p)
		if text := encoded(t, p); judge(text, was, created) == nil {
			t.Fatalf("%s: a changed plan would be run:\n%s", how, text)
		}
	})
}

// encoded is the plan's file without the checks of Write.
func encoded(t *rapid.T, p Plan) string {
	text, err := p.encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
