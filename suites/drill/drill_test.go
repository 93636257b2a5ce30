package drill

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"faultline/clusters"
	"faultline/clusters/progress"
)

func TestALongWaitSaysWhatItIsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d := &Drill{step: progress.New(&out).Step("e101 on a cluster", 0)}
		d.expects("it heals")
		<-time.After(45 * time.Second)
		d.step.End()
		synctest.Wait()
		if want := "e101 on a cluster, 30s, expecting that it heals"; strings.Count(out.String(), want) != 1 {
			t.Errorf("%q is not told once in\n%s", want, out.String())
		}
	})
}

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
