package record_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"faultline/reports/record"
)

// shard is the record of one machine that ran experiments of these names.
func shard(id string, experiments ...string) *record.Run {
	r := run()
	r.ID, r.Seconds = id, 60
	r.StartedAt = time.Date(2026, time.November, 23, 1, 0, 0, 0, time.UTC).Add(time.Duration(len(id)) * time.Minute)
	r.Environment = record.Environment{Kubernetes: "v1.37.1", Etcd: "v3.7.0", NodeImage: "node:1", LoadBalancer: "haproxy", Profile: "fast",
		FaultlineVersion: "abc", Cores: 2, MemoryBytes: 8 << 30, Engine: "docker", Slack: 2}
	for i, name := range experiments {
		r.Experiments = append(r.Experiments, record.Experiment{ID: fmt.Sprintf("e10%d", i+1), Name: name, Topology: "three", Claims: []string{"C-1"},
			Verdict: record.Held, Evidence: []string{"evidence/e/etcd.log"}})
	}
	return &r
}

func TestMerge(t *testing.T) {
	a, b := shard("a", "one", "two"), shard("bb", "three")
	b.Environment.Cores, b.Environment.Kernel = 4, "6.1"
	b.Experiments[0].Verdict = record.Broken
	a.Skipped = []record.Skipped{{Name: "three", Topology: "three", Reason: "no btrfs"}, {Name: "four", Topology: "three", Reason: "no btrfs"}}
	b.Skipped = slices.Clone(a.Skipped[1:])
	a.Sabotaged, b.Sabotaged = []record.Sabotaged{{Name: "lies"}}, []record.Sabotaged{{Name: "nobody evicts"}}
	a.Failures, b.NotRestored = []string{"boom"}, []string{"kill etcd"}
	b.Claims = append(b.Claims, record.Claim{ID: "C-3"})
	a.Gate = &record.Gate{Enforced: true}
	m, err := record.Merge([]*record.Run{a, b}, record.Allow{})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, e := range m.Experiments {
		ids = append(ids, e.ID+"@"+e.Evidence[0])
	}
	if got := strings.Join(ids, " "); got != "a-e101@a/evidence/e/etcd.log a-e102@a/evidence/e/etcd.log bb-e101@bb/evidence/e/etcd.log" {
		t.Errorf("experiments: %s", got)
	}
	if a.Experiments[0].ID != "e101" || a.Experiments[0].Evidence[0] != "evidence/e/etcd.log" {
		t.Error("the shard itself was changed")
	}
	if len(m.Skipped) != 1 || m.Skipped[0].Name != "four" {
		t.Errorf("skipped: %+v", m.Skipped)
	}
	if len(m.Sabotaged) != 2 || m.Sabotaged[1].Name != "nobody evicts" {
		t.Errorf("sabotaged: %+v", m.Sabotaged)
	}
	if m.Failures[0] != "a: boom" || m.NotRestored[0] != "bb: kill etcd" || m.Gate != nil || len(m.Claims) != 3 {
		t.Errorf("got %+v", m)
	}
	if m.Environment.Cores != 0 || m.Environment.Kernel != "6.1" || m.Environment.Kubernetes != "v1.37.1" || m.EnvironmentOf(&m.Experiments[2]).Cores != 4 {
		t.Errorf("environment: %+v", m.Environment)
	}
	if m.Seconds != 120 || !m.StartedAt.Equal(a.StartedAt) {
		t.Errorf("from the first start to the last end it is 2 minutes, got %g s from %s", m.Seconds, m.StartedAt)
	}
	if s := record.Summarise(m); s.Outcome != record.OutcomeNotRestored || len(s.Shards) != 2 || s.Experiments.Total != 3 {
		t.Errorf("got %+v", s)
	}
}

func TestOrderOfShardsDoesNotMatter(t *testing.T) {
	merge := func(runs ...*record.Run) *record.Run {
		m, err := record.Merge(runs, record.Allow{})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	a, b, c := shard("a", "one"), shard("bb", "two"), shard("ccc", "three")
	want := merge(a, b, c)
	for _, other := range [][]*record.Run{{a, c, b}, {b, a, c}, {b, c, a}, {c, a, b}, {c, b, a}} {
		if got := merge(other...); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v", got)
		}
	}
	if merge(a, b).ID == want.ID {
		t.Error("other shards are the same run")
	}
}

func TestMergeOfShardsThatShareAnID(t *testing.T) {
	a, b := shard("x", "one"), shard("x", "two")
	b.StartedAt = a.StartedAt.Add(time.Second)
	m, err := record.Merge([]*record.Run{b, a}, record.Allow{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Shards[0].Name != "x-1" || m.Shards[1].Name != "x-2" || m.Experiments[0].Shard != "x-1" || m.Experiments[0].Name != "one" {
		t.Errorf("got %+v", m)
	}
}

func TestMergeRefuses(t *testing.T) {
	change := func(f func(*record.Environment)) []*record.Run {
		a, b := shard("a", "one"), shard("bb", "two")
		f(&b.Environment)
		return []*record.Run{a, b}
	}
	merged := shard("ccc", "three")
	merged.Shards = []record.Shard{{Name: "x"}}
	elsewhere := shard("bb", "one")
	elsewhere.Experiments[0].Topology = "five"
	tests := map[string]struct {
		runs []*record.Run
		kind error
		want string // empty where it is accepted
	}{
		"other cores":           {change(func(e *record.Environment) { e.Cores, e.MemoryBytes, e.Kernel, e.Seed = 8, 1, "x", 7 }), nil, ""},
		"another slack":         {change(func(e *record.Environment) { e.Slack = 3 }), nil, ""},
		"another faultline":     {change(func(e *record.Environment) { e.FaultlineVersion = "def" }), record.ErrMixed, `Faultline is "abc" in run a and "def" in run bb`},
		"another Kubernetes":    {change(func(e *record.Environment) { e.Kubernetes = "v1.37.2" }), record.ErrMixed, "Kubernetes is"},
		"another etcd":          {change(func(e *record.Environment) { e.Etcd = "v3.6.0" }), record.ErrMixed, "etcd is"},
		"another image":         {change(func(e *record.Environment) { e.NodeImage = "node:2" }), record.ErrMixed, "the node image is"},
		"another load balancer": {change(func(e *record.Environment) { e.LoadBalancer = "envoy" }), record.ErrMixed, "the load balancer is"},
		"another profile":       {change(func(e *record.Environment) { e.Profile = "documented" }), record.ErrMixed, "the profile is"},
		"an experiment twice":   {[]*record.Run{shard("a", "one"), shard("bb", "one")}, record.ErrRepeated, `runs a and bb both have "one" on three`},
		"on another layout":     {[]*record.Run{shard("a", "one"), elsewhere}, nil, ""},
		"repeated within a run": {[]*record.Run{shard("a", "one", "one"), shard("bb", "two")}, nil, ""},
		"one record":            {[]*record.Run{shard("a", "one")}, nil, "two records or more"},
		"the same record twice": {[]*record.Run{shard("a", "one"), shard("bb", "two"), shard("a", "one")}, nil, "run a is given twice"},
		"what is merged":        {[]*record.Run{shard("a", "one"), merged}, nil, "run ccc is merged already"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := record.Merge(test.runs, record.Allow{})
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			if test.kind == nil {
				return
			}
			if !errors.Is(err, test.kind) {
				t.Errorf("%v is no %v", err, test.kind)
			}
			allow := record.Allow{Mixed: errors.Is(err, record.ErrMixed), Repeated: errors.Is(err, record.ErrRepeated)}
			if _, err := record.Merge(test.runs, allow); err != nil {
				t.Errorf("it was allowed: %v", err)
			}
			if _, err := record.Merge(test.runs, record.Allow{Mixed: !allow.Mixed, Repeated: !allow.Repeated}); err == nil {
				t.Error("the other permission was enough")
			}
		})
	}
}
