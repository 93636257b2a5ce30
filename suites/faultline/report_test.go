package main

import (
	"testing"

	"github.com/onsi/ginkgo/v2/types"
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
	if failures := harnessFailures(reports, nil); len(failures) > 0 {
		t.Errorf("a skip is a failure: %v", failures)
	}
	if failures := harnessFailures(nil, nil); len(failures) != 1 {
		t.Errorf("a suite without a report: %v", failures)
	}
}
