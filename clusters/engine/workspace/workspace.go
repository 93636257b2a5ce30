// Package workspace knows where this project's own source is and where it may
// keep things between runs: it finds the module's root, builds the project's
// small static programs, and guards shared work with a lock.
package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

var moduleLine = regexp.MustCompile(`(?m)^module\s+faultline\s*$`)

// Root is the folder of this project's go.mod. It is looked for from the
// working directory upwards, so it is found from any test's folder too.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the project's folder: %w", err)
	}
	return rootAbove(dir)
}

func rootAbove(start string) (string, error) {
	for dir := start; ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && moduleLine.Match(text) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod with 'module faultline' in %s or above it: run this inside the project's folder", start)
		}
	}
}

// Cache is this project's folder for things worth keeping between runs, made
// if it is missing. All of it can be deleted at any time.
func Cache() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder, set HOME or XDG_CACHE_HOME: %w", err)
	}
	dir := filepath.Join(base, "faultline")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	return dir, nil
}

// Build compiles one of this module's main packages, given relative to the
// root ("clusters/engine/shim"), into a static executable at out.
func Build(ctx context.Context, pkg, out string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	args := []string{"build", "-trimpath", "-ldflags", "-s -w", "-o", out, "./" + pkg}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cd %s && CGO_ENABLED=0 go %s: %w\n%s", root, strings.Join(args, " "), err, stderr.String())
	}
	return nil
}

// Lock takes the named lock, waiting for another process that holds it until
// ctx ends. The operating system releases it when this process dies.
func Lock(ctx context.Context, name string) (release func(), err error) {
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		release, free, err := TryLock(name)
		if err != nil || free {
			return release, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("another process holds the lock %s in the cache folder: %w", name, ctx.Err())
		case <-poll.C:
		}
	}
}

// TryLock takes the named lock if no other process holds it.
func TryLock(name string) (release func(), free bool, err error) {
	dir, err := Cache()
	if err != nil {
		return nil, false, err
	}
	path := filepath.Join(dir, name+".lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, false, fmt.Errorf("open the lock file: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return func() { file.Close() }, true, nil
	}
	file.Close()
	if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
		return nil, false, fmt.Errorf("lock %s: %w", path, err)
	}
	return nil, false, nil
}
