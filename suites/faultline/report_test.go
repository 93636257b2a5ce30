package main

import (
	"reflect"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2/types"

	"faultline/reports/record"
)

func TestSkippedSpecsAreTold(t *testing.T) {
	spec := func(state types.SpecState, message string) types.SpecReport {
		return types.SpecReport{
			LeafNodeType: types.NodeTypeIt, LeafNodeText: "survives", State: state, Failure: types.Failure{Message: message},
			LeafNodeLabels: []string{"claim:TOPO-03", "topology:single-host-mirrored-disk"},
		}
	}
	reports := []types.Report{{SpecReports: types.SpecReports{
		spec(types.SpecStateSkipped, "no btrfs in this kernel"),
		spec(types.SpecStateSkipped, ""), // a filter left it out
		spec(types.SpecStatePassed, ""),
	}}}
	found := skipped(reports)
	if len(found) != 1 || found[0].Reason != "no btrfs in this kernel" || found[0].Topology != "single-host-mirrored-disk" || found[0].Claims[0] != "TOPO-03" {
		t.Errorf("got %+v", found)
	}
	if red := sabotaged(reports); len(red) > 0 {
		t.Errorf("experiments are taken for sabotage runs: %+v", red)
	}
	if failures := harnessFailures(reports, nil); len(failures) > 0 {
		t.Errorf("a skip is a failure: %v", failures)
	}
	if failures := harnessFailures(nil, nil); len(failures) != 1 {
		t.Errorf("a suite without a report: %v", failures)
	}
}

func TestSabotageRunsThatTurnedRedAreTold(t *testing.T) {
	spec := func(text string, state types.SpecState) types.SpecReport {
		return types.SpecReport{
			LeafNodeType: types.NodeTypeIt, LeafNodeText: text, State: state, RunTime: 90 * time.Second,
			LeafNodeLabels: []string{"sabotage", "mutation:WORK", "mutation:NODE", "topology:multi-master"},
		}
	}
	reports := []types.Report{{SpecReports: types.SpecReports{
		spec("nobody evicts pods", types.SpecStatePassed), spec("it stays green", types.SpecStateFailed), spec("left out", types.SpecStateSkipped),
	}}}
	want := []record.Sabotaged{{Name: "nobody evicts pods", Topology: "multi-master", Seconds: 90, Groups: []string{"WORK", "NODE"}}}
	if red := sabotaged(reports); !reflect.DeepEqual(red, want) {
		t.Errorf("got %+v, want %+v", red, want)
	}
	if failures := harnessFailures(reports, nil); len(failures) != 1 {
		t.Errorf("a sabotage run that stays green is no failure of the harness: %v", failures)
	}
}
