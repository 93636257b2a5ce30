package engine

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestRemoveStaleKeepsTheLiving(t *testing.T) {
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Skip("no /proc")
	}
	self := strings.TrimSpace(string(comm))
	file := filepath.Join(t.TempDir(), "docker.pid")
	if err := os.WriteFile(file, []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := removeStale(file, self); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Fatal("the PID file of a living process was removed")
	}
	if err := removeStale(file, "dockerd"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Fatal("a PID file with a stranger's number was kept")
	}
	if err := removeStale(file, "dockerd"); err != nil {
		t.Fatalf("no PID file: %v", err)
	}
}
