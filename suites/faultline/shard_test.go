package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/onsi/ginkgo/v2/types"

	"faultline/suites/labels"
)

// on makes specs of layouts, as many as each is told.
func on(layouts map[string]int) []types.SpecReport {
	var specs []types.SpecReport
	for name, n := range layouts {
		for range n {
			specs = append(specs, types.SpecReport{LeafNodeLabels: []string{labels.Topology + name}})
		}
	}
	return specs
}

func TestShardsTakeEveryLayoutOnce(t *testing.T) {
	layouts := map[string]int{"three-host-stacked": 20, "multi-master": 12, "single-host-minimal": 10, "bare-etcd-3": 8, "bare-etcd-5": 2}
	first, err := divide(on(layouts), 3)
	if err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(first...)
	if slices.Sort(all); len(all) != len(layouts) || len(slices.Compact(all)) != len(layouts) {
		t.Errorf("got %v", first)
	}
	if !slices.Equal(first[0], []string{"three-host-stacked"}) {
		t.Errorf("the longest layout is not alone: %v", first)
	}
	for range 20 {
		if again, _ := divide(on(layouts), 3); !slices.EqualFunc(first, again, slices.Equal) {
			t.Fatalf("got %v, and another time %v", first, again)
		}
	}
}

func TestShardRefuses(t *testing.T) {
	for text, want := range map[string]string{"2": "like 2/4", "0/3": "like 2/4", "a/b": "like 2/4", "4/3": "no part 4 of 3"} {
		t.Setenv(shardVariable, text)
		if _, err := shardFromEnv(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	t.Setenv(shardVariable, "")
	all, err := shardFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	if s, err := all.of(selected{filter: "tier:core"}); err != nil || s.filter != "tier:core" {
		t.Errorf("without a shard: %+v, %v", s, err)
	}
	t.Setenv(shardVariable, "3/3")
	third, err := shardFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := third.of(selected{specs: on(map[string]int{"bare-etcd-3": 1, "bare-etcd-5": 1})}); err == nil {
		t.Error("a part without anything to do was accepted")
	}
}

func TestShardHasItsSpecsOnly(t *testing.T) {
	specs := on(map[string]int{"three-host-stacked": 9, "bare-etcd-3": 2})
	t.Setenv(shardVariable, "2/2")
	second, err := shardFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	s, err := second.of(selected{"tier:core", specs})
	if err != nil || len(s.specs) != 2 || labelled(s.specs[0], labels.Topology) != "bare-etcd-3" || s.filter != "(tier:core) && topology: containsAny {bare-etcd-3}" {
		t.Errorf("got %q with %d specs, %v", s.filter, len(s.specs), err)
	}
}
