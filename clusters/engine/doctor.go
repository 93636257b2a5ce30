package engine

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

// Status is the outcome of one check.
type Status string

const (
	OK   Status = "ok"   // fine
	Warn Status = "warn" // works, but some experiments may not
	Fail Status = "fail" // clusters cannot run here
)

// Check is one thing that [Doctor] looked at.
type Check struct {
	Name   string
	Status Status
	Detail string // what was found
	Fix    string // the command to run; empty if there is nothing to do
}

// Requirements are what the chosen topologies need at the same time. Zero
// means that nothing is required.
type Requirements struct {
	MemoryBytes uint64
	DiskBytes   uint64
	// InotifyInstances are those of root, who owns all nodes.
	InotifyInstances uint64

	// Registry asks whether images can be pulled; nil leaves that check out.
	Registry func(context.Context) error
}

// Doctor examines this machine and its container engine. It changes nothing;
// it starts one privileged container and removes it again.
func Doctor(ctx context.Context, need Requirements) []Check {
	e, checkEngine := examineEngine(ctx)
	checks := []Check{checkEngine, examinePrivileged(ctx, e)}
	checks = append(checks, examineKernel(need)...)
	checks = append(checks, examineMemory(need.MemoryBytes), examineDisk(ctx, e, need.DiskBytes))
	if need.Registry != nil {
		checks = append(checks, examineRegistry(need.Registry(ctx)))
	}
	return checks
}

// Enough tells whether memory, disk and inotify instances suffice, before anything is
// created.
func Enough(ctx context.Context, e *Engine, need Requirements) error {
	checks := []Check{
		examineMemory(need.MemoryBytes), examineDisk(ctx, e, need.DiskBytes),
		examineInotify(readInotify(), need.InotifyInstances),
	}
	for _, c := range checks {
		if c.Status == Fail {
			return fmt.Errorf("not enough %s: %s; %s", c.Name, c.Detail, c.Fix)
		}
	}
	return nil
}

// Print writes one line a check, and tells whether none failed.
func Print(w io.Writer, checks []Check) (healthy bool) {
	healthy, width := true, 0
	for _, c := range checks {
		width = max(width, len(c.Name))
	}
	for _, c := range checks {
		healthy = healthy && c.Status != Fail
		line := fmt.Sprintf("%-4s  %-*s  %s", c.Status, width, c.Name, c.Detail)
		if c.Fix != "" {
			line += "  →  " + c.Fix
		}
		fmt.Fprintln(w, line)
	}
	return healthy
}

func examineEngine(ctx context.Context) (*Engine, Check) {
	check := Check{Name: "container engine"}
	e, err := reachable(ctx)
	if err != nil {
		check.Status, check.Detail, check.Fix = Fail, firstLine(err), startAdvice(err)
		if advice := mayBootstrap(ctx, Options{}, err); advice == nil {
			check.Fix = "make chaos (sets Docker up)"
		}
		return nil, check
	}
	check.Status, check.Detail = OK, e.Name()
	if out, err := e.Run(ctx, "version", "--format", "{{.Server.Version}}"); err == nil {
		check.Detail += " " + strings.TrimSpace(string(out))
	}
	return e, check
}

func examinePrivileged(ctx context.Context, e *Engine) Check {
	check := Check{Name: "privileged container", Status: OK, Detail: "starts"}
	if e == nil {
		check.Status, check.Detail = Fail, "no engine to ask"
		return check
	}
	if err := e.StartPrivileged(ctx); err != nil {
		check.Status, check.Detail, check.Fix = Fail, firstLine(err), "read the engine's log"
		if refusedCapabilities(err) {
			check.Detail = "refused: the capability bounding set of this machine is restricted"
			check.Fix = "sudo make chaos (installs the runtime shim), or grant the machine all capabilities"
		}
	} else if defaultRuntime(ctx) == shimName {
		check.Detail = "starts, with the runtime shim"
	}
	return check
}

func examineRegistry(err error) Check {
	check := Check{Name: "registry", Status: OK, Detail: "answers: images are pulled"}
	if err != nil {
		check.Detail = "offline: images are built on this machine (" + firstLine(err) + ")"
		if os.Geteuid() != 0 {
			check.Status, check.Fix = Warn, "sudo make images (building needs root)"
		}
	}
	return check
}

// firstLine keeps an error to one line.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
