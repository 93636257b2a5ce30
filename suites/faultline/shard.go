package main

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2/types"

	"faultline/clusters"
	"faultline/clusters/kind"
	"faultline/suites/labels"
)

// shardVariable names the part of a run that this machine takes: 2/4 is the second of four.
const shardVariable = "FAULTLINE_SHARD"

var shardPattern = regexp.MustCompile(`^([1-9][0-9]?)/([1-9][0-9]?)$`)

// shard is a machine's part of a run; the zero value is all of it.
type shard struct {
	text        string
	part, parts int
}

// shardFromEnv reads FAULTLINE_SHARD.
func shardFromEnv() (shard, error) {
	text := os.Getenv(shardVariable)
	if text == "" {
		return shard{}, nil
	}
	m := shardPattern.FindStringSubmatch(text)
	if m == nil {
		return shard{}, fmt.Errorf("%s=%q: want a part and how many there are, like 2/4", shardVariable, text)
	}
	part, _ := strconv.Atoi(m[1])
	parts, _ := strconv.Atoi(m[2])
	if part > parts {
		return shard{}, fmt.Errorf("%s=%q: there is no part %d of %d", shardVariable, text, part, parts)
	}
	return shard{text, part, parts}, nil
}

// of narrows a selection to the part. Experiments on the same layout stay together, since
// they share its cluster.
func (p shard) of(s selected) (selected, error) {
	if p.parts == 0 {
		return s, nil
	}
	layouts, err := divide(s.specs, p.parts)
	if err != nil {
		return s, err
	}
	mine := layouts[p.part-1]
	if len(mine) == 0 {
		return s, fmt.Errorf("%s=%q: the specs have fewer layouts than that, so there is nothing left for this part", shardVariable, p.text)
	}
	s.filter = fmt.Sprintf("(%s) && topology: containsAny {%s}", s.filter, strings.Join(mine, ", "))
	s.specs = slices.DeleteFunc(slices.Clone(s.specs), func(r types.SpecReport) bool { return !slices.Contains(mine, labelled(r, labels.Topology)) })
	return s, nil
}

// divide gives each part layouts so that all take about as long: the longest first, each
// to whoever has least. It must come to the same on every machine, so that it knows
// nothing of earlier runs.
func divide(specs []types.SpecReport, parts int) ([][]string, error) {
	times := map[string]time.Duration{}
	for _, s := range specs {
		name := labelled(s, labels.Topology)
		if _, known := times[name]; !known {
			t, err := clusters.Find(name)
			if err != nil {
				return nil, err
			}
			times[name] = kind.Estimate(t)
		}
		times[name] += guesses[clusters.FastProfile().Name]
	}
	var names []string
	for name := range times {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(times[b], times[a]), cmp.Compare(a, b)) })
	layouts, load := make([][]string, parts), make([]time.Duration, parts)
	for _, name := range names {
		least := slices.Index(load, slices.Min(load))
		layouts[least] = append(layouts[least], name)
		load[least] += times[name]
	}
	return layouts, nil
}
