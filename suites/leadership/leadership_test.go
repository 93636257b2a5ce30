package leadership

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"faultline/clusters"
	"faultline/suites/drill"
)

func TestSucceeds(t *testing.T) {
	lease := func(uid, holder string, transitions int32) *coordinationv1.Lease {
		return &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid)},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseTransitions: &transitions},
		}
	}
	before := lease("1", "a", 4)
	for name, c := range map[string]struct {
		now  *coordinationv1.Lease
		want bool
	}{
		"the next holder":  {lease("1", "b", 5), true},
		"another object":   {lease("2", "b", 5), false},
		"the same holder":  {lease("1", "a", 5), false},
		"forgotten number": {lease("1", "b", 0), false},
	} {
		if err := succeeds(before, c.now); (err == nil) != c.want {
			t.Errorf("%s: %v, want success %t", name, err, c.want)
		}
	}
}

func TestPlacements(t *testing.T) {
	bind := func(uid string, code int) clusters.Action {
		return clusters.Action{Resource: "pods", Subresource: "binding", Name: "crowd-7", UID: uid, Code: code}
	}
	created := clusters.Action{Resource: "pods", Name: "crowd-7", UID: "1", Code: 201}
	another := bind("3", 201)
	another.Name = "s-probe"
	for name, c := range map[string]struct {
		actions         []clusters.Action
		placed, refused int
		fails           bool
	}{
		"one place, another refused":          {[]clusters.Action{created, bind("1", 201), bind("1", 409)}, 1, 1, false},
		"a place that is refused otherwise":   {[]clusters.Action{bind("1", 201), bind("1", 404), bind("2", 500)}, 1, 0, false},
		"a pod of others":                     {[]clusters.Action{bind("1", 201), another}, 1, 0, false},
		"a pod made again with the same name": {[]clusters.Action{bind("1", 201), bind("2", 201)}, 2, 0, false},
		"two places for one pod":              {[]clusters.Action{bind("1", 201), bind("2", 201), bind("1", 201)}, 0, 0, true},
		"pods that nothing tells apart":       {[]clusters.Action{bind("", 201), bind("", 201)}, 0, 0, true},
	} {
		placed, refused, err := placements(c.actions)
		if placed != c.placed || refused != c.refused || (err != nil) != c.fails {
			t.Errorf("%s: %d placed, %d refused, %v", name, placed, refused, err)
		}
	}
}

func TestWantedByAll(t *testing.T) {
	for _, c := range []struct{ old, replicas, want int }{{1, 8, 24}, {8, 1, 24}, {1, 1, 3}} {
		if got := wantedByAll(3, c.old, c.replicas); got != c.want {
			t.Errorf("from %d to %d: %d, want %d", c.old, c.replicas, got, c.want)
		}
	}
}

func TestContend(t *testing.T) {
	exists := apierrors.NewAlreadyExists(schema.GroupResource{}, "lock")
	for name, c := range map[string]struct {
		answer     func(rival string) error
		winner     string
		unanswered int
		fails      bool
	}{
		"one wins": {func(rival string) error {
			if rival == "rival-3" {
				return nil
			}
			return exists
		}, "rival-3", 0, false},
		"two win": {func(rival string) error {
			if rival == "rival-3" || rival == "rival-4" {
				return nil
			}
			return exists
		}, "", 0, true},
		"all lose": {func(string) error { return exists }, "", 0, true},
		"one wins, and another has no answer": {func(rival string) error {
			switch rival {
			case "rival-3":
				return nil
			case "rival-4":
				return errors.New("no answer")
			}
			return exists
		}, "rival-3", 1, false},
		"one without an answer, and nobody wins": {func(rival string) error {
			if rival == "rival-3" {
				return errors.New("no answer")
			}
			return exists
		}, "", 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := arena{clients: make([]kubernetes.Interface, 3)}
			got, err := a.contend(apierrors.IsAlreadyExists, func(_ kubernetes.Interface, rival string) error { return c.answer(rival) })
			if got.winner != c.winner || got.unanswered != c.unanswered || (err != nil) != c.fails {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestIdentityPattern(t *testing.T) {
	for identity, want := range map[string]bool{
		"fl-1-control-plane_0f7d9e1a-3b5c-4d7e-8f90-123456789abc": true,
		"scheduler-2": false,
	} {
		if identityPattern.MatchString(identity) != want {
			t.Errorf("%s matches: %t", identity, !want)
		}
	}
}

// client-go has to take the settings, and the lock has to run out between two renewals.
func TestALateHolderRenewsWhatHasRunOut(t *testing.T) {
	_, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:          &resourcelock.LeaseLock{LockConfig: resourcelock.ResourceLockConfig{Identity: "holder"}},
		LeaseDuration: late.lease, RenewDeadline: late.deadline, RetryPeriod: late.retry,
		Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) {}, OnStoppedLeading: func() {}},
	})
	if told := late.lease.Truncate(time.Second); err != nil || told >= late.retry {
		t.Errorf("%v; the lock lasts %s and is renewed after %s", err, told, late.retry)
	}
}

func TestRestsNoticesAnAct(t *testing.T) {
	e := &elector{group: group{lock: "steal"}, identity: "robbed"}
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: drill.Namespace, Name: e.object(), ResourceVersion: "1"}}
	rests := e.rests()
	for version, want := range map[string]bool{"1": true, "2": false} {
		object.ResourceVersion = "1"
		if err := rests(t.Context(), fake.NewClientset(object.DeepCopy())); err != nil {
			t.Errorf("at the first look: %v", err)
		}
		object.ResourceVersion = version
		if err := rests(t.Context(), fake.NewClientset(object.DeepCopy())); (err == nil) != want {
			t.Errorf("version %s: %v, want success %t", version, err, want)
		}
	}
}

// A store without versions accepts every change: that is what the contest has to find.
func TestContestFindsTwoWinners(t *testing.T) {
	client := fake.NewClientset()
	a := arena{clients: []kubernetes.Interface{client, client}, answers: time.Second}
	_, err := a.contests(t.Context(), "test", func(round int) bool { return round == rounds })
	if err == nil || !strings.Contains(err.Error(), "were all told that they won") {
		t.Errorf("got %v", err)
	}
}

func TestWhatBecameOfContests(t *testing.T) {
	won, silent, half := contest{winner: "rival-3"}, contest{unanswered: 4}, contest{winner: "rival-3", unanswered: 1}
	for name, c := range map[string]struct {
		fought      []contest
		known, most bool
	}{
		"all are won":                {[]contest{won, won}, true, true},
		"one has no winner":          {[]contest{won, silent}, false, true},
		"one rival has no answer":    {[]contest{won, half}, false, true},
		"most have no winner":        {[]contest{won, silent, silent}, false, false},
		"nobody has competed at all": {nil, true, false},
	} {
		if err := everybodyKnows(c.fought); (err == nil) != c.known {
			t.Errorf("%s: %v, want everybody to know %t", name, err, c.known)
		}
		if err := mostAreWon(c.fought); (err == nil) != c.most {
			t.Errorf("%s: %v, want most to be won %t", name, err, c.most)
		}
	}
}
