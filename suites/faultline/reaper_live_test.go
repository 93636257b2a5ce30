package main

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"faultline/clusters"
	"faultline/clusters/clustertest"
	"faultline/clusters/kind"
	"faultline/suites/rundir"
)

// TestMain lets this binary be the command, which tests start.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && !strings.HasPrefix(os.Args[1], "-") {
		main()
		return
	}
	os.Exit(clustertest.Main(context.Background(), m))
}

// What is killed says nothing to its reaper: the kernel closes its end of the pipe. The
// reaper has to wait for what is left of the suite, and then to leave nothing of the run, and
// everything of another.
func TestReaperCleansUpAfterAKilledRun(t *testing.T) {
	o := clustertest.Options(t, clusters.BareEtcd(1))
	other := clustertest.New(t, clusters.BareEtcd(1))
	c, err := kind.Create(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	state, err := rundir.State(o.Run)
	if err != nil {
		t.Fatal(err)
	}
	suite := exec.Command("sleep", "3")
	suite.Env = append(os.Environ(), suiteVariable+"="+o.Run)
	if err := suite.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = suite.Wait() }()
	r, err := startReaper("reap", o.Run)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := r.input.Close(); err != nil { // as the kernel does for a process that was killed
		t.Fatal(err)
	}
	if err := r.cmd.Wait(); err != nil {
		t.Fatalf("the reaper: %v", err)
	}
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("it cleaned up after %s, while the suite went on", took)
	}
	if exists, err := kind.ClusterExists(t.Context(), o.Engine, c.Name); err != nil || exists {
		t.Errorf("the cluster is there: %t, %v", exists, err)
	}
	if networks, err := o.Engine.Run(t.Context(), "network", "ls", "--quiet", "--filter", "name="+c.Name[:len(c.Name)-2]); err != nil || len(networks) > 0 {
		t.Errorf("the network is there: %s, %v", networks, err)
	}
	if _, err := os.Stat(state); !os.IsNotExist(err) {
		t.Errorf("the private state is there: %v, want %v", err, fs.ErrNotExist)
	}
	if exists, err := kind.ClusterExists(t.Context(), o.Engine, other.Name); err != nil || !exists {
		t.Errorf("another run's cluster is there: %t, %v", exists, err)
	}
}

// A run that comes to its end keeps its private state: it is not over with it yet.
func TestReaperLeavesTheStateOfARunThatEnds(t *testing.T) {
	o := clustertest.Options(t, clusters.BareEtcd(1))
	state, err := rundir.State(o.Run)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(state) })
	r, err := startReaper("reap", o.Run)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(state); err != nil {
		t.Errorf("the private state is gone: %v", err)
	}
}
