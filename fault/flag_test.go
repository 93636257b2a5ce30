package fault

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"faultline/clusters"
)

// flagged is a node with one static pod or kubelet, as far as SetFlag looks at it.
type flagged struct {
	process, cmdline, manifest, unit string
	// left is what has the former process's PID.
	left string
}

func (f flagged) shell(_ context.Context, _ string, _ io.Reader, argv ...string) ([]byte, error) {
	switch {
	case argv[0] == "cat" && strings.HasPrefix(argv[1], "/proc/"):
		return []byte(strings.ReplaceAll(f.cmdline, " ", "\x00")), nil
	case argv[0] == "cat":
		return []byte(f.manifest), nil
	case argv[0] == "systemctl" && argv[1] == "cat":
		return []byte(f.unit), nil
	case argv[2] == clusters.ListProcesses:
		return []byte(f.process), nil
	case argv[2] == watchScript:
		return []byte(f.left), nil
	}
	return nil, fmt.Errorf("not to be asked: %v", argv)
}

const schedulerPod = "spec:\n  containers:\n  - name: kube-scheduler\n    command: [kube-scheduler, --leader-elect=true]\n"

func TestSetFlagPlansTheFlag(t *testing.T) {
	c := modelCluster(t, flagged{process: "17 S 99 100.00\n", cmdline: "kube-scheduler --leader-elect=true ", manifest: schedulerPod}.shell)
	e, err := planSetFlags(t.Context(), c.Instances(clusters.Scheduler)[0], "set-flag-x-0", []string{"--leader-elect=false", "--v=4"})
	if err != nil {
		t.Fatal(err)
	}
	if broken := e.inject[len(e.inject)-1]; !strings.Contains(broken, "- --leader-elect=true\n    - --leader-elect=false\n    - --v=4\n") {
		t.Errorf("the manifest becomes\n%s", broken)
	}
}

func TestSetFlagPlansTheFlagsOfAKubelet(t *testing.T) {
	unit := "[Service]\nExecStart=/usr/bin/kubelet $KUBELET_EXTRA_ARGS\n"
	c := modelCluster(t, flagged{process: "17 S 99 100.00\n", cmdline: "/usr/bin/kubelet ", unit: unit}.shell)
	kubelet := c.Instances(clusters.Kubelet)[0]
	e, err := planSetFlags(t.Context(), kubelet, "set-flag-x-0", []string{"--max-pods=9", "--eviction-hard=memory.available<5%"})
	if err != nil {
		t.Fatal(err)
	}
	want := "\nExecStart=\nExecStart=/usr/bin/kubelet $KUBELET_EXTRA_ARGS --max-pods=9 --eviction-hard=memory.available<5%%\n"
	if !slices.ContainsFunc(e.inject, func(word string) bool { return strings.Contains(word, want) }) || !slices.Contains(e.inject, "restart") {
		t.Errorf("systemd is told %q", e.inject)
	}
	if !slices.Contains(e.undo, dropIn(kubelet.Unit(), "set-flag-x-0")) {
		t.Errorf("the undo is %q", e.undo)
	}
}

func TestSetFlagRefusesWhatMakesNoSense(t *testing.T) {
	whole := flagged{process: "17 S 99 100.00\n", cmdline: "kube-scheduler --v=2", manifest: schedulerPod}
	down, has := whole, whole
	down.process, has.cmdline = "", "kube-scheduler --v=2 --v=4"
	for name, test := range map[string]struct {
		node      flagged
		component clusters.Component
		flag      string
		want      string
	}{
		"no flag":           {whole, clusters.Scheduler, "v=4", "is no flag"},
		"two words":         {whole, clusters.Scheduler, "--v 4", "is no flag"},
		"another service":   {whole, clusters.ContainerRuntime, "--v=4", "is neither a static pod nor a kubelet"},
		"down already":      {down, clusters.Scheduler, "--v=4", "down already"},
		"the flag is there": {has, clusters.Scheduler, "--v=4", "has the flag --v=4 already"},
	} {
		t.Run(name, func(t *testing.T) {
			c := modelCluster(t, test.node.shell)
			err := SetFlag(test.flag, c.Instances(test.component)[0]).Available(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestSetFlagProvesItsEffect(t *testing.T) {
	former := []clusters.Process{{PID: 17, StartTicks: 99, State: "S"}}
	whole := flagged{process: "18 S 120 100.00\n", cmdline: "kube-scheduler --v=4 "}
	without, half, old, none := whole, whole, whole, whole
	without.cmdline, half.cmdline, old.left, none.process = "kube-scheduler --v=44 ", "kube-scheduler --v=4 ", "S 99", ""
	whole.cmdline = "kube-scheduler --v=4 --leader-elect=false "
	for name, test := range map[string]struct {
		node flagged
		want string
	}{
		"another process with both":    {whole, ""},
		"another process with one":     {half, "does not have the flag"},
		"another process without them": {without, "does not have the flag"},
		"the old process":              {old, "want that process 17"},
		"no process":                   {none, "no process"},
	} {
		t.Run(name, func(t *testing.T) {
			c := modelCluster(t, test.node.shell)
			_, err := proveFlags(t.Context(), c.Instances(clusters.Scheduler)[0], former, []string{"--v=4", "--leader-elect=false"})
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// What serves with a flag more may be the last that is left when another is changed.
func TestWhatServesMeanwhileIsNotHeld(t *testing.T) {
	b := newBench(t)
	server := b.cluster.Instances(clusters.APIServer)[0]
	for _, test := range []struct {
		name   string
		serves bool
		state  State
		held   int
	}{
		{"it serves with the flag", true, Landed, 0},
		{"it is being restarted with the flag", true, Injected, 1},
		{"it does not serve", false, Landed, 1},
	} {
		i := &Injection{injector: b.Injector, Fault: SetFlag("--v=1", server), state: test.state,
			effects: []effect{{undo: []string{"undo"}, serves: test.serves}}}
		if held := i.holds(); len(held) != test.held {
			t.Errorf("%s: it holds %v", test.name, held)
		}
	}
}
