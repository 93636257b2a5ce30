package clustertest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"faultline/clusters"
	"faultline/clusters/engine"
)

// runs are the runs of this test binary, and whose engine they used.
var runs struct {
	sync.Mutex
	names  []string
	engine *engine.Engine
}

func remember(run string, e *engine.Engine) {
	runs.Lock()
	defer runs.Unlock()
	runs.names, runs.engine = append(runs.names, run), e
}

// leftoverTime is how long the kernel takes to let go of loop devices, and a container
// engine of what it removes.
const leftoverTime = 20 * time.Second

// Main runs the tests of a package and returns the exit status, like m.Run, which is a
// failure too when anything of the package's clusters is left on this machine: a process,
// a rule, a mount, a loop device, a file, a container, a network or a volume.
func Main(ctx context.Context, m *testing.M) int {
	if os.Getenv(liveVariable) == "" {
		return m.Run()
	}
	var volumes []string
	if e, err := engine.Detect(ctx); err == nil { // make test has started it; else tests set one up, empty
		volumes, _ = danglingVolumes(ctx, e)
	}
	status := m.Run()
	runs.Lock()
	names, e := slices.Clone(runs.names), runs.engine
	runs.Unlock()
	if e == nil {
		return status // no test had a cluster
	}
	ctx, cancel := context.WithTimeout(ctx, leftoverTime)
	defer cancel()
	err := clusters.Await(ctx, time.Second, "nothing to be left", func(ctx context.Context) error {
		left, err := leftovers(ctx, e, names)
		if err != nil {
			return err
		}
		dangling, err := danglingVolumes(ctx, e)
		if err != nil {
			return err
		}
		for _, v := range dangling {
			if !slices.Contains(volumes, v) {
				left = append(left, "volume "+v)
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("%d leftovers:\n%s", len(left), strings.Join(left, "\n"))
		}
		return nil
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: the tests have left something behind:", err)
		return max(status, 1)
	}
	fmt.Printf("%d runs have left nothing on this machine\n", len(names))
	return status
}

// leftovers lists what bears the name of a run. What cannot be listed is an error: it
// must not pass for nothing.
func leftovers(ctx context.Context, e *engine.Engine, names []string) ([]string, error) {
	var left []string
	add := func(kind string, lines []string) {
		for _, line := range lines {
			if bears(line, names) {
				left = append(left, fmt.Sprintf("%s %.200s", kind, line))
			}
		}
	}
	for kind, args := range map[string][]string{
		"container": {"ps", "-a", "--format", "{{.Names}}"},
		"network":   {"network", "ls", "--format", "{{.Name}}"},
		"volume":    {"volume", "ls", "--format", "{{.Name}} {{.Labels}}"},
	} {
		lines, err := engineLines(ctx, e, args...)
		if err != nil {
			return nil, err
		}
		add(kind, lines)
	}
	add("process", commandLines())
	add("mount", fileLines("/proc/self/mounts"))
	add("loop device", fileLines("/sys/block/loop*/loop/backing_file"))
	add("rule", rules(ctx))
	return append(left, switchFiles(names)...), nil
}

// bears says whether a text has the name of something of one of the runs.
func bears(text string, names []string) bool {
	return slices.ContainsFunc(names, func(run string) bool { return strings.Contains(text, "faultline-"+run) })
}

func engineLines(ctx context.Context, e *engine.Engine, args ...string) ([]string, error) {
	out, err := e.Run(ctx, args...)
	if err != nil {
		return nil, fmt.Errorf("list what is left: %w", err)
	}
	return strings.Fields(string(out)), nil
}

// danglingVolumes are those that no container uses. Anonymous ones bear no name of a run.
func danglingVolumes(ctx context.Context, e *engine.Engine) ([]string, error) {
	return engineLines(ctx, e, "volume", "ls", "--quiet", "--filter", "dangling=true")
}

// commandLines are those of all processes but this one. The engine's clients, which keep
// shells in containers open, end with their containers.
func commandLines() []string {
	var lines []string
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range all {
		text, err := os.ReadFile(file)
		if err == nil && filepath.Base(filepath.Dir(file)) != fmt.Sprint(os.Getpid()) {
			lines = append(lines, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return lines
}

// fileLines are the lines of all files of a pattern.
func fileLines(pattern string) []string {
	var lines []string
	all, _ := filepath.Glob(pattern)
	for _, file := range all {
		if text, err := os.ReadFile(file); err == nil {
			lines = append(lines, strings.Split(string(text), "\n")...)
		}
	}
	return lines
}

// switchFiles are the files of this machine's timers that are not of another run: the
// number in them is of no process, or of one with a name of ours.
func switchFiles(names []string) []string {
	var ours []string
	all, _ := filepath.Glob("/tmp/faultline-undo-*")
	for _, file := range all {
		pid, err := os.ReadFile(file)
		if err != nil {
			continue // gone meanwhile
		}
		line, _ := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(pid)), "cmdline"))
		if len(line) == 0 || bears(string(line), names) {
			ours = append(ours, "file "+file)
		}
	}
	return ours
}

// rules are this machine's packet filter, where it can be listed.
func rules(ctx context.Context) []string {
	out, err := clusters.LocalShell(ctx, clusters.ThisMachineName, nil, "iptables-save")
	if err != nil {
		return nil
	}
	return strings.Split(string(out), "\n")
}
