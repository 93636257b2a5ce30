package clusters

import (
	"testing"
	"time"
)

// A leader has renewed its lock up to RetryPeriod before, and a node may be called silent from
// the lower bound on.
func TestBlackoutsAreOnTheirSideOfTheSettings(t *testing.T) {
	for _, profile := range []Profile{FastProfile(), DocumentedProfile()} {
		for _, slack := range []float64{1, DefaultSlack, 10} {
			timing := Timing{Profile: profile, Slack: slack}
			unnoticed, disputed := timing.UnnoticedBlackout(), timing.DisputedBlackout()
			if unnoticed <= 0 || unnoticed+RetryPeriod >= RenewDeadline || unnoticed >= timing.NodeNotReady().Lower {
				t.Errorf("%s, slack %g: a blackout of %s may be noticed", profile.Name, slack, unnoticed)
			}
			if disputed <= RenewDeadline || disputed+RetryPeriod >= LeaseDuration {
				t.Errorf("%s, slack %g: %s is not between the renew deadline and the lease's end", profile.Name, slack, disputed)
			}
			if etcd := timing.UnnoticedEtcdBlackout(); etcd <= 0 || etcd >= etcdElectionTimeout {
				t.Errorf("a member of etcd may be frozen for %s, and is not waited for after %s", etcd, etcdElectionTimeout)
			}
			if b := timing.Blackout(unnoticed); b.Upper < unnoticed+time.Second || b.Upper != timing.upper(unnoticed+time.Second) {
				t.Errorf("%s, slack %g: a blackout of %s is over after %s", profile.Name, slack, unnoticed, b.Upper)
			}
		}
	}
}
