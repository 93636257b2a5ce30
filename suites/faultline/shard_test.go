package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/onsi/ginkgo/v2/types"
)

// on makes specs of layouts, as many as each is told.
func on(layouts map[string]int) []types.SpecReport {
	var specs []types.SpecReport
	for name, n := range layouts {
		for range n {
			specs = append(specs, types.SpecReport{LeafNodeLabels: []string{topologyKey + name}})
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
		if _, err := shard(t.Context(), "sabotage"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	t.Setenv(shardVariable, "")
	if filter, err := shard(t.Context(), "tier:core"); err != nil || filter != "tier:core" {
		t.Errorf("without a shard: %q, %v", filter, err)
	}
}
