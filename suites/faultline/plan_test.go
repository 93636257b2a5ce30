package main

import (
	"strings"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2/types"

	"faultline/clusters"
	"faultline/reports/record"
	"faultline/suites/rundir"
)

func TestDurationsAreThoseOfTheProfile(t *testing.T) {
	t.Setenv("ARTIFACTS", t.TempDir())
	fast, documented := clusters.FastProfile().Name, clusters.DocumentedProfile().Name
	took := func(profile string, seconds float64) func(*record.Run) {
		return func(r *record.Run) { r.Environment.Profile, r.Experiments[0].Seconds = profile, seconds }
	}
	ran(t, "a", "short", record.Held, 1, took(fast, 7))
	ran(t, "b", "short", record.Held, 1, took(documented, 300))
	ran(t, "c", "long", record.Held, 1, took(documented, 400))

	specs := []types.SpecReport{{LeafNodeText: "short"}, {LeafNodeText: "long"}}
	for profile, want := range map[string][]time.Duration{
		fast:       {7 * time.Second, guesses[fast]},
		documented: {300 * time.Second, 400 * time.Second},
	} {
		likely := likelyDurations(specs, profile)
		if likely["short"] != want[0] || likely["long"] != want[1] {
			t.Errorf("%s: got %v, want %v", profile, likely, want)
		}
	}
}

func TestEveryProfileHasAGuess(t *testing.T) {
	for _, p := range []clusters.Profile{clusters.FastProfile(), clusters.DocumentedProfile()} {
		if guesses[p.Name] == 0 {
			t.Errorf("none for %s", p.Name)
		}
	}
}

func TestAWordThatNobodyKnowsIsRefusedFirst(t *testing.T) {
	for variable, value := range map[string]string{
		"FAULTLINE_PROFILE": "slow", "FAULTLINE_SLACK": "0", liveVariable: "0.0.0.0:80", "FAULTLINE_IMAGES": "offlien", "FAULTLINE_BOOTSTRAP": "nevr",
		rundir.KeepVariable: "perhaps",
	} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv(variable, value)
			if _, err := prepare(t.Context(), rundir.Dir{}); err == nil || !strings.Contains(err.Error(), variable+"=") {
				t.Errorf("got %v, want the variable named", err)
			}
		})
	}
}
