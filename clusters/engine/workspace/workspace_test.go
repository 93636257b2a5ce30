package workspace

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestRootAbove(t *testing.T) {
	root := t.TempDir()
	nested := filepath.Join(root, "clusters", "recipe")
	if err := os.MkdirAll(nested, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "go.mod"), "module faultline\n\ngo 1.26\n")
	write(t, filepath.Join(nested, "go.mod"), "module faultline/recipe\n")

	if got, err := rootAbove(nested); err != nil || got != root {
		t.Errorf("rootAbove = %q, %v; want %q", got, err, root)
	}
	if got, err := rootAbove(t.TempDir()); err == nil {
		t.Errorf("rootAbove outside the project = %q, want an error", got)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestLockExcludes(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	release, err := Lock(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	if _, err := Lock(short, "test"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a second holder: %v", err)
	}
	if _, free, err := TryLock("test"); free || err != nil {
		t.Fatalf("a second holder that does not wait: free %t, %v", free, err)
	}
	release()
	again, err := Lock(t.Context(), "test")
	if err != nil {
		t.Fatalf("the released lock: %v", err)
	}
	again()
}

func TestSweepLeavesWhatIsInUse(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	cache, err := Cache()
	if err != nil {
		t.Fatal(err)
	}
	dir, remove, err := Temporary(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "program"), "content")
	killed := filepath.Join(cache, "temporary-test-1")
	for _, folder := range []string{killed, filepath.Join(cache, "components")} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(killed, "program"), "content")
	there := func() (names []string) {
		entries, _ := os.ReadDir(cache)
		for _, e := range entries {
			if e.IsDir() {
				names = append(names, e.Name())
			}
		}
		return names
	}
	if err := Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := there(); !slices.Equal(left, []string{"components", filepath.Base(dir)}) {
		t.Errorf("there is %v, want the cache and what is in use", left)
	}
	remove()
	if left := there(); !slices.Equal(left, []string{"components"}) {
		t.Errorf("there is %v after the use", left)
	}
}
