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

// The kubelet's back-off doubles with each crash; a container that ends at once is the worst.
func TestCrashLoopReturnCoversTheBackOffOfItsOutage(t *testing.T) {
	for _, profile := range []Profile{FastProfile(), DocumentedProfile()} {
		timing := Timing{Profile: profile, Slack: 1}
		outage, backOff := time.Duration(0), restartBackOff
		for range 10 {
			if upper := timing.CrashLoopReturn(outage).Upper; upper <= backOff {
				t.Errorf("%s: after %s the next restart is %s away, and a return is expected within %s", profile.Name, outage, backOff, upper)
			}
			outage += backOff
			backOff = min(2*backOff, profile.MaxRestartPeriod)
		}
	}
}

func TestAShortOutageIsNotGivenTheLongestBackOff(t *testing.T) {
	timing := Timing{Profile: DocumentedProfile(), Slack: DefaultSlack}
	short, long, longer := timing.ControlPlaneReturn(20*time.Second), timing.ControlPlaneReturn(time.Hour), timing.ControlPlaneReturn(2*time.Hour)
	if short.Upper >= timing.Profile.MaxRestartPeriod || long != longer || long.Upper <= timing.Profile.MaxRestartPeriod {
		t.Errorf("after 20 s within %s, after one hour %s, after two %s", short.Upper, long.Upper, longer.Upper)
	}
}

// Whoever tolerates two returns of a node is there when it is back.
func TestALongSilenceIsTolerated(t *testing.T) {
	for _, profile := range []Profile{FastProfile(), DocumentedProfile()} {
		timing := Timing{Profile: profile, Slack: 1}
		if silence, tolerated := timing.LongSilence(), 2*timing.NodeReturn().Upper; silence+timing.NodeReturn().Upper > tolerated {
			t.Errorf("%s: a silence of %s and a return are longer than the %s that are tolerated", profile.Name, silence, tolerated)
		}
	}
}

// What a mechanism forbids to undercut has to leave it room, on a machine without any slack too.
func TestLowerBoundsLeaveRoom(t *testing.T) {
	for _, profile := range []Profile{FastProfile(), DocumentedProfile()} {
		timing := Timing{Profile: profile, Slack: 1}
		for name, b := range map[string]Bounds{
			"ServiceDropsServer": timing.ServiceDropsServer(), "LeaderlessGap": timing.LeaderlessGap(), "LeaseHeld": timing.LeaseHeld(),
			"NodeNoticed": timing.NodeNoticed(0), "Liveness": timing.Liveness(), "Replacement": timing.Replacement(),
			"EvictionAfterMark": timing.EvictionAfterMark(),
		} {
			if b.Lower <= 0 || b.Lower >= b.Upper {
				t.Errorf("%s: %s is to take %s to %s", profile.Name, name, b.Lower, b.Upper)
			}
		}
		if gap := timing.LeaderlessGap().Lower; gap != 3*time.Second {
			t.Errorf("%s: nobody leads for %s at least, and claim LEAD-10 says 3 s", profile.Name, gap)
		}
	}
}
