// Command shim is an OCI runtime that asks for less.
//
// A container engine gives a privileged container every capability that it
// knows. Where the machine's own capability bounding set is restricted, the
// kernel refuses that and no privileged container starts. The shim removes
// what cannot be granted from the container's configuration and then becomes
// the real runc, with the same arguments.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

func main() {
	if err := trim(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "faultline runtime shim:", err)
		os.Exit(1)
	}
	if err := become("runc"); err != nil {
		fmt.Fprintln(os.Stderr, "faultline runtime shim:", err)
		os.Exit(1)
	}
}

// trim edits the file, if any, in which the runtime is about to find the
// capabilities to grant.
func trim(args []string) error {
	target := findTarget(args)
	if target.path == "" {
		return nil
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	bounding, err := parseBounding(string(status))
	if err != nil {
		return err
	}
	return rewrite(target, bounding)
}

// become replaces this process by the real runtime.
func become(runtime string) error {
	path, err := exec.LookPath(runtime)
	if err != nil {
		for _, candidate := range []string{"/usr/bin/runc", "/usr/sbin/runc", "/usr/local/sbin/runc", "/usr/local/bin/runc"} {
			if _, missing := os.Stat(candidate); missing == nil {
				path, err = candidate, nil
				break
			}
		}
	}
	if err != nil {
		return fmt.Errorf("find the real runtime: %w", err)
	}
	argv := append([]string{path}, os.Args[1:]...)
	if err := syscall.Exec(path, argv, os.Environ()); err != nil {
		return fmt.Errorf("exec %s: %w", path, err)
	}
	return nil
}
