package images

import (
	"context"
	"testing"
	"time"

	"faultline/clusters/images/internal/offline"
)

func TestParseVersions(t *testing.T) {
	kubernetes, etcd := parseVersions("v1.37.0\nregistry.k8s.io/kube-apiserver:v1.37.0\nregistry.k8s.io/pause:3.10.1\nregistry.k8s.io/etcd:3.7.0-0\n")
	if kubernetes != "v1.37.0" || etcd != "v3.7.0" {
		t.Errorf("parseVersions = %q, %q", kubernetes, etcd)
	}
}

func TestForcingMustBeUnderstood(t *testing.T) {
	t.Setenv("FAULTLINE_IMAGES", "offlien")
	if _, err := newMaker(nil, nil); err == nil {
		t.Error("a misspelt FAULTLINE_IMAGES was accepted")
	}
}

func TestForcedOrigin(t *testing.T) {
	for _, c := range []struct {
		forced, node string
		want         bool
	}{
		{Registry, "", true},
		{Offline, "", false},
		{"", "example.org/node:v1", true},
	} {
		if got := (&maker{forced: c.forced, node: c.node}).fromRegistry(t.Context()); got != c.want {
			t.Errorf("fromRegistry with %+v = %v", c, got)
		}
	}
}

func TestReachableGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	if Reachable(ctx) == nil || time.Since(began) > 5*time.Second {
		t.Errorf("took %v", time.Since(began))
	}
}

// The recipes of this checkout can be read and give names.
func TestNamesOfThisCheckout(t *testing.T) {
	b, err := offline.New(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	first, err := b.NodeImage()
	if err != nil {
		t.Fatal(err)
	}
	if second, _ := b.NodeImage(); second != first {
		t.Errorf("the name changes by itself: %s, %s", first, second)
	}
}

func TestOutdated(t *testing.T) {
	lines := "faultline/node:new 1\nlocalhost/faultline/node:new 2\nfaultline/node:old 3\n<none>:<none> 4\nenvoyproxy/envoy:v1.36.2 5\n"
	got := outdated(lines, []string{"faultline/node:new"})
	if len(got) != 2 || got[0] != "faultline/node:old" || got[1] != "4" {
		t.Errorf("outdated = %q", got)
	}
}
