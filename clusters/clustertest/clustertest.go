// Package clustertest gives contract tests a real cluster. They run when
// FAULTLINE_LIVE_TESTS is set, which make test does.
package clustertest

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"faultline/clusters"
	"faultline/clusters/engine"
	"faultline/clusters/images"
	"faultline/clusters/kind"
	"faultline/clusters/progress"
)

// liveVariable wants tests on real clusters.
const liveVariable = "FAULTLINE_LIVE_TESTS"

// Options prepares engine and images and returns the options of a cluster of
// its own run. It skips the test unless live tests are wanted.
func Options(t *testing.T, topology clusters.Topology) kind.Options {
	t.Helper()
	if os.Getenv(liveVariable) == "" {
		t.Skip("needs a container engine; run it with FAULTLINE_LIVE_TESTS=1")
	}
	p := progress.New(os.Stdout)
	e, err := engine.Ensure(t.Context(), engine.Options{Progress: p})
	if err != nil {
		t.Fatal(err)
	}
	set, err := images.Ensure(t.Context(), e, p)
	if err != nil {
		t.Fatal(err)
	}
	run := "t" + strings.ToLower(rand.Text()[:6])
	remember(run, e)
	t.Cleanup(func() {
		if err := kind.DeleteNetwork(context.WithoutCancel(t.Context()), e, run); err != nil {
			t.Error(err)
		}
	})
	return kind.Options{
		Topology: topology, Timing: clusters.Timing{Profile: clusters.FastProfile(), Slack: clusters.DefaultSlack},
		Engine: e, Images: set, Run: run, Sequence: 1, Dir: t.TempDir(), Progress: p,
	}
}

// Full says whether the contracts that take long are wanted too: FAULTLINE_CONTRACT=full,
// which make test-full sets.
func Full() bool { return os.Getenv("FAULTLINE_CONTRACT") == "full" }

// NeedFull skips a test that takes long, unless it is wanted.
func NeedFull(t *testing.T) {
	t.Helper()
	if !Full() {
		t.Skip("takes long; run it with FAULTLINE_CONTRACT=full")
	}
}

// New creates a cluster that is deleted when the test ends.
func New(t *testing.T, topology clusters.Topology) *clusters.Cluster {
	t.Helper()
	o := Options(t, topology)
	c, err := kind.Create(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := kind.Delete(context.WithoutCancel(t.Context()), o.Engine, c.Name, o.Dir); err != nil {
			t.Error(err)
		}
	})
	return c
}
