package drill

import (
	"testing"
	"time"

	"faultline/clusters"
)

func TestFaultsHoldForAsLongAsSpecsWait(t *testing.T) {
	for _, profile := range []clusters.Profile{clusters.FastProfile(), clusters.DocumentedProfile()} {
		timing := clusters.Timing{Profile: profile, Slack: clusters.DefaultSlack}
		hold := longestHold(timing)
		t.Logf("%s: %s", profile.Name, hold)
		// LB-03 on four workers waits longest: they are marked, and one after the other given up.
		if waits := timing.NodeNotReady().Upper + timing.EvictionOf(4).Upper; hold < waits+time.Minute {
			t.Errorf("%s: a fault ends by itself after %s, and a spec waits for %s", profile.Name, hold, waits)
		}
		if hold > time.Hour {
			t.Errorf("%s: a fault that nobody undoes holds for %s", profile.Name, hold)
		}
	}
}
