package clustertest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What a test leaves is found by its run's name, and nobody else's is.
func TestLeftProcessesAndFilesAreFound(t *testing.T) {
	const run = "tleft00"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	left := exec.CommandContext(ctx, "sleep", "60")
	left.Args[0] = "faultline-" + run + "-1-etcd"
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	found := func(run string) bool {
		return slices.ContainsFunc(commandLines(), func(line string) bool { return bears(line, []string{run}) })
	}
	if !found(run) {
		t.Error("the process is not found")
	}
	if found("tother0") {
		t.Error("a process of a run that had none is found")
	}
	file := filepath.Join("/tmp", "faultline-undo-leftover-test.pid")
	if err := os.WriteFile(file, []byte("999999999"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(file)
	if got := strings.Join(switchFiles([]string{run}), " "); !strings.Contains(got, file) {
		t.Errorf("the file of a timer that is no more is not among %q", got)
	}
	cancel()
	_ = left.Wait()
	if found(run) {
		t.Error("the process is found after its end")
	}
}
