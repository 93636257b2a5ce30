package images

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"faultline/clusters/engine"
	"faultline/clusters/engine/workspace"
)

// standInEngine has what killed builds and probes left, and writes down what is removed.
const standInEngine = `#!/bin/sh
case "$*" in
  "ps -aq --filter label=faultline.build=container") echo build-1 build-2 ;;
  "ps -aq --filter label=faultline.build=probe") echo probe-1 ;;
  "images -q --filter label=faultline.build=probe") echo image-1 ;;
  rm*) echo "$*" >>"$REMOVED" ;;
esac
`

// withStandIn gives a test an engine and a cache folder of its own, in which a build was killed.
func withStandIn(t *testing.T) (e *engine.Engine, removed func() string, leftover string) {
	t.Helper()
	bin, log := t.TempDir(), filepath.Join(t.TempDir(), "removed")
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte(standInEngine), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("REMOVED", log)
	t.Setenv("KIND_EXPERIMENTAL_PROVIDER", "docker")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	cache, err := workspace.Cache()
	if err != nil {
		t.Fatal(err)
	}
	leftover = filepath.Join(cache, "node-1")
	if err := os.Mkdir(leftover, 0o755); err != nil {
		t.Fatal(err)
	}
	e, err = engine.Detect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e, func() string { text, _ := os.ReadFile(log); return string(text) }, leftover
}

func TestCleanRemovesWhatKilledBuildsLeft(t *testing.T) {
	e, removed, leftover := withStandIn(t)
	if _, err := Clean(t.Context(), e, t.Logf); err != nil {
		t.Fatal(err)
	}
	if got, want := removed(), "rm -f -v build-1 build-2\nrm -f -v probe-1\nrmi -f image-1\n"; got != want {
		t.Errorf("removed %q, want %q", got, want)
	}
	if _, err := os.Stat(leftover); err == nil {
		t.Errorf("%s is left", leftover)
	}
}

func TestCleanLeavesABuildThatIsUnderWay(t *testing.T) {
	e, removed, leftover := withStandIn(t)
	var said strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&said, format, args...) }
	for _, lock := range []string{buildLock, "probe"} {
		release, free, err := workspace.TryLock(lock)
		if err != nil || !free {
			t.Fatalf("%s is free: %t, %v", lock, free, err)
		}
		defer release()
	}
	if _, err := Clean(t.Context(), e, say); err != nil {
		t.Fatal(err)
	}
	if got := removed(); got != "" || !strings.Contains(said.String(), "another process is making images") {
		t.Errorf("removed %q, said %q", got, &said)
	}
	if _, err := os.Stat(leftover); err != nil {
		t.Error(err)
	}
}
