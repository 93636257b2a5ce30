package drill

import (
	"maps"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes/fake"

	"faultline/clusters"
)

func TestTheLatestHeartbeatTellsToWhomAKubeletTalks(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	beat := func(user string, second, code int) clusters.Action {
		return clusters.Action{At: start.Add(time.Duration(second) * time.Second), User: user, Verb: "update", Resource: "leases", Code: code}
	}
	elsewhere := beat("system:node:w2", 30, 200)
	elsewhere.Resource = "nodes"
	got := heartbeats(map[string][]clusters.Action{
		"m1": {beat("system:node:w1", 0, 200), beat("system:node:w1", 20, 200), beat("system:node:w2", 0, 200), elsewhere},
		"m2": {beat("system:node:w1", 10, 200), beat("system:node:w2", 10, 200), beat("system:node:w1", 30, 500), beat("system:kube-scheduler", 40, 200)},
	})
	if want := map[string]string{"w1": "m1", "w2": "m2"}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	one, other := &clusters.Node{Name: "w1"}, &clusters.Node{Name: "silent"}
	if err := allBeat(got, []*clusters.Node{one}); err != nil {
		t.Error(err)
	}
	if err := allBeat(got, []*clusters.Node{one, other}); err == nil {
		t.Error("a node without a heartbeat passed")
	}
}

func TestNoHeartbeatsNoticesARenewal(t *testing.T) {
	at := time.Now()
	silent := NoHeartbeats()
	for name, c := range map[string]struct {
		renewed time.Time
		want    bool
	}{
		"as at the first look": {at, true},
		"renewed since":        {at.Add(10 * time.Second), false},
	} {
		if err := silent(t.Context(), fake.NewClientset(lease(at))); err != nil {
			t.Errorf("before %q: %v", name, err)
		}
		if err := silent(t.Context(), fake.NewClientset(lease(c.renewed))); (err == nil) != c.want {
			t.Errorf("%s: %v, want success %t", name, err, c.want)
		}
	}
	if NoHeartbeats()(t.Context(), fake.NewClientset()) == nil {
		t.Error("nodes without leases are called silent")
	}
}
