package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"faultline/clusters/engine/workspace"
)

const (
	shimName   = "faultline-runc"
	shimPath   = "/usr/local/lib/faultline/runtime-shim"
	daemonJSON = "/etc/docker/daemon.json"
)

// ensurePrivileged makes sure that privileged containers start. It looks
// closer, by starting one, only where the capability bounding set is
// restricted and the shim is not in charge already.
func ensurePrivileged(ctx context.Context, e *Engine, options Options) error {
	restricted, err := CapabilitiesRestricted()
	if err != nil || !restricted {
		return err
	}
	if e.Name() == "docker" && defaultRuntime(ctx) == shimName {
		return nil
	}
	problem := e.StartPrivileged(ctx)
	if problem == nil {
		return nil
	}
	if !refusedCapabilities(problem) {
		return fmt.Errorf("privileged containers, which kind needs, do not start: %w", problem)
	}
	return installShim(ctx, e, options, problem)
}

// CapabilitiesRestricted tells whether the bounding set of this machine lacks
// a capability that its kernel knows.
func CapabilitiesRestricted() (bool, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false, fmt.Errorf("read the capability bounding set: %w", err)
	}
	last, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return false, fmt.Errorf("read what capabilities the kernel knows: %w", err)
	}
	return restricted(string(status), string(last))
}

func restricted(status, lastCap string) (bool, error) {
	last, err := strconv.Atoi(strings.TrimSpace(lastCap))
	if err != nil {
		return false, fmt.Errorf("/proc/sys/kernel/cap_last_cap: %w", err)
	}
	_, after, found := strings.Cut(status, "CapBnd:")
	value, _, _ := strings.Cut(after, "\n")
	bounding, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
	if !found || err != nil {
		return false, fmt.Errorf("/proc/self/status has no readable CapBnd")
	}
	all := uint64(1)<<(last+1) - 1
	return bounding&all != all, nil
}

// refusedCapabilities recognises the error of a runtime that may not grant
// every capability.
func refusedCapabilities(err error) bool {
	var failed *CommandError
	if !errors.As(err, &failed) {
		return false
	}
	text := strings.ToLower(failed.Stderr)
	return strings.Contains(text, "operation not permitted") && (strings.Contains(text, "caps") || strings.Contains(text, "capabilit"))
}

// defaultRuntime is the OCI runtime that Docker uses.
func defaultRuntime(ctx context.Context) string {
	out, _ := run(command(ctx, "docker", "info", "--format", "{{.DefaultRuntime}}"))
	return strings.TrimSpace(string(out))
}

// installShim puts the runtime shim between Docker and runc, and proves that
// it helps. Problem is the error that made it necessary.
func installShim(ctx context.Context, e *Engine, options Options, problem error) (err error) {
	if reason := mayNotShim(ctx, e, options); reason != "" {
		return fmt.Errorf("privileged containers do not start, because this machine's capability bounding set is restricted: %w\n%s", problem, reason)
	}
	step := options.Progress.Step("install the runtime shim (the capability bounding set is restricted here)", 10*time.Second)
	defer func() { step.Done(err) }()
	if err := buildShim(ctx); err != nil {
		return err
	}
	if err := registerShim(); err != nil {
		return err
	}
	if err := reloadDockerd(); err != nil {
		return err
	}
	if err := waitForRuntime(ctx); err != nil {
		return err
	}
	if err := e.StartPrivileged(ctx); err != nil {
		return fmt.Errorf("privileged containers do not start, even with the runtime shim: %w", err)
	}
	return nil
}

// mayNotShim says what a person must do instead, or nothing.
func mayNotShim(ctx context.Context, e *Engine, options Options) string {
	switch {
	case options.policy() == Never:
		return "FAULTLINE_BOOTSTRAP=never forbids installing the runtime shim; allow it, or grant this machine all capabilities"
	case e.Name() != "docker":
		return "The runtime shim exists for Docker only: set KIND_EXPERIMENTAL_PROVIDER=docker, or grant this machine all capabilities"
	case !local(dockerHost(ctx)):
		return "The Docker in use is not this machine's own: fix it there"
	case os.Geteuid() != 0:
		return "Only root can install the runtime shim: run 'sudo make doctor' once"
	}
	return ""
}

// buildShim compiles the shim and puts it in place in one step.
func buildShim(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(shimPath), 0o755); err != nil {
		return fmt.Errorf("make the folder of the runtime shim: %w", err)
	}
	fresh := shimPath + ".new"
	defer os.Remove(fresh)
	if err := workspace.Build(ctx, "clusters/engine/shim", fresh); err != nil {
		return fmt.Errorf("build the runtime shim: %w", err)
	}
	if err := os.Rename(fresh, shimPath); err != nil {
		return fmt.Errorf("install the runtime shim: %w", err)
	}
	return nil
}

// registerShim adds the shim to the daemon's configuration. A file that is
// not understood is left as it is.
func registerShim() error {
	before, err := os.ReadFile(daemonJSON)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read Docker's configuration: %w", err)
	}
	after, err := withRuntime(before, shimName, shimPath)
	if err != nil {
		return fmt.Errorf("%s is left unchanged: %w", daemonJSON, err)
	}
	if bytes.Equal(before, after) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(daemonJSON), 0o755); err != nil {
		return fmt.Errorf("make the folder of Docker's configuration: %w", err)
	}
	fresh := daemonJSON + ".new"
	defer os.Remove(fresh)
	if err := os.WriteFile(fresh, after, 0o644); err != nil {
		return fmt.Errorf("write Docker's configuration: %w", err)
	}
	if err := os.Rename(fresh, daemonJSON); err != nil {
		return fmt.Errorf("replace Docker's configuration: %w", err)
	}
	return nil
}

// waitForRuntime waits until the reloaded daemon uses the shim.
func waitForRuntime(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for defaultRuntime(ctx) != shimName {
		select {
		case <-ctx.Done():
			return fmt.Errorf("dockerd was told to reload but does not use the runtime shim; restart it and look into %s", daemonLog)
		case <-poll.C:
		}
	}
	return nil
}
