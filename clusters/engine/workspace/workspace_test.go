package workspace

import (
	"context"
	"os"
	"path/filepath"
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
	if _, err := Lock(short, "test"); err == nil {
		t.Fatal("a second holder got the lock")
	}
	release()
	again, err := Lock(t.Context(), "test")
	if err != nil {
		t.Fatalf("the released lock: %v", err)
	}
	again()
}
