package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"faultline/clusters"
)

// scripted is a node that answers each script as it is told, and keeps what else was run.
type scripted struct {
	answers map[string]string // by script
	others  []string
}

func (m *scripted) shell(_ context.Context, _ string, _ io.Reader, argv ...string) ([]byte, error) {
	if argv[0] == "sh" {
		if answer, ok := m.answers[argv[2]]; ok {
			return []byte(answer), nil
		}
	}
	m.others = append(m.others, strings.Join(argv, " "))
	return nil, errors.New("not to be run")
}

// node is the model as a node whose engine has the given limits.
func (m *scripted) node(limits string, components ...clusters.Component) *clusters.Node {
	n := &clusters.Node{Name: "n1", Role: clusters.ControlPlane, Address: "10.0.0.1", Components: components}
	if limits != "" {
		n.Power = clusters.Power{Limits: []string{"echo", limits}, Limit: []string{"true"}}
	}
	(&clusters.Cluster{Nodes: []*clusters.Node{n}}).Reach(m.shell)
	return n
}

// someRoom is 2 CPUs, 4 GiB to spare, 1 GiB in use and 32 768 PIDs.
const someRoom = "2 4294967296 1073741824 32768\n"

func TestResourceFaultsRefuseWhatMakesNoSense(t *testing.T) {
	for _, test := range []struct {
		name, limits string
		fault        func(*clusters.Node) Fault
		want         string // empty: allowed
	}{
		{"no worker", "", func(n *clusters.Node) Fault { return StressCPU(n, 0) }, "want 1 to 8"},
		{"many workers", "", func(n *clusters.Node) Fault { return StressCPU(n, 9) }, "want 1 to 8"},
		{"workers", "", func(n *clusters.Node) Fault { return StressCPU(n, 8) }, ""},
		{"no memory", "", func(n *clusters.Node) Fault { return StressMemory(n, 0) }, "out of range"},
		{"all memory", "", func(n *clusters.Node) Fault { return StressMemory(n, 4<<30) }, "want 1048576 to 4026531840"},
		{"memory", "", func(n *clusters.Node) Fault { return StressMemory(n, 1<<30) }, ""},
		{"no process", "", func(n *clusters.Node) Fault { return StressPIDs(n, -1) }, "out of range"},
		{"many processes", "", func(n *clusters.Node) Fault { return StressPIDs(n, 8193) }, "want 1 to 8192"},
		{"processes", "", func(n *clusters.Node) Fault { return StressPIDs(n, 1000) }, ""},
		{"no limit", "0 0 0", func(n *clusters.Node) Fault { return LimitNode(n, 0, 0) }, "neither CPUs nor memory"},
		{"no engine", "", func(n *clusters.Node) Fault { return LimitNode(n, 1, 0) }, "cannot be limited"},
		{"hardly a CPU", "0 0 0", func(n *clusters.Node) Fault { return LimitNode(n, 0.001, 0) }, "at least 0.01"},
		{"all CPUs", "0 0 0", func(n *clusters.Node) Fault { return LimitNode(n, 2, 0) }, "less than the 2"},
		{"no number", "0 0 0", func(n *clusters.Node) Fault { return LimitNode(n, math.NaN(), 0) }, "out of range"},
		{"more CPUs than the limit", "50000 0 0", func(n *clusters.Node) Fault { return LimitNode(n, 1, 0) }, "less than the 0.5"},
		{"less memory than in use", "0 0 0", func(n *clusters.Node) Fault { return LimitNode(n, 0, 1<<30) }, "use OOMKill"},
		{"more memory than there is", "0 0 0", func(n *clusters.Node) Fault { return LimitNode(n, 0, 1<<40) }, "out of range"},
		{"an engine that says nothing", " ", func(n *clusters.Node) Fault { return LimitNode(n, 1, 0) }, "unexpected answer"},
		{"limits", "-1 0 0", func(n *clusters.Node) Fault { return LimitNode(n, 1.5, 2<<30) }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &scripted{answers: map[string]string{roomScript: someRoom}}
			err := test.fault(m.node(test.limits)).Available(t.Context())
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if len(m.others) > 0 {
				t.Errorf("a look changed something: %v", m.others)
			}
		})
	}
	if err := StressCPU(nil, 1).Available(t.Context()); err == nil || !strings.Contains(err.Error(), "has no node") {
		t.Errorf("no node: got %v", err)
	}
	if err := LimitNode((&scripted{}).node(""), 1, 0).Available(t.Context()); !errors.Is(err, clusters.ErrUnsupported) {
		t.Errorf("no engine: got %v, want ErrUnsupported", err)
	}
}

func TestResourceFaultsProveTheirEffect(t *testing.T) {
	cpu := func(n *clusters.Node) Fault { return StressCPU(n, 2) }
	memory := func(n *clusters.Node) Fault { return StressMemory(n, 100<<20) }
	pids := func(n *clusters.Node) Fault { return StressPIDs(n, 100) }
	limited := func(n *clusters.Node) Fault { return LimitNode(n, 0.5, 2<<30) }
	for _, test := range []struct {
		name   string
		fault  func(*clusters.Node) Fault
		script string
		answer string
		want   string // in the error; empty: it has landed
	}{
		{"busy", cpu, childrenScript, "2 100 9000\n2 150 9000\n", ""},
		{"idle", cpu, childrenScript, "2 100 9000\n2 100 9000\n", "used 0s"},
		{"a worker short", cpu, childrenScript, "1 100 9000\n1 150 9000\n", "1 of 2 workers"},
		{"no answer", cpu, childrenScript, "", "unexpected answer"},
		{"resident", memory, childrenScript, "2 10 104900000\n", ""},
		{"not resident", memory, childrenScript, "2 10 1049000\n", "only 1049000 of"},
		{"crowded", pids, childrenScript, "100 0 0\n", ""},
		{"not crowded", pids, childrenScript, "99 0 0\n", "only 99 of 100"},
		{"limited", limited, kernelLimitsScript, "50000 2147483648\n", ""},
		{"no CPU limit", limited, kernelLimitsScript, "-1 2147483648\n", "CPU quota of -1"},
		{"no memory limit", limited, kernelLimitsScript, "50000 9223372036854771712\n", "9223372036854771712 bytes"},
		{"no kernel", limited, kernelLimitsScript, "\n", "unexpected answer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &scripted{answers: map[string]string{roomScript: someRoom, test.script: test.answer}}
			n := m.node("0 0 0")
			effects, err := test.fault(n).plan(t.Context(), "x")
			if err != nil {
				t.Fatal(err)
			}
			n.Power.Limits = []string{"echo", "50000 2147483648 2147483648"}
			proof, err := effects[0].prove(t.Context())
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) || err == nil && proof == "" {
				t.Errorf("got %q, %v; want %q", proof, err, test.want)
			}
			n.Power.Limits = []string{"echo", "0 0 0"}
			if _, err := effects[0].prove(t.Context()); test.script == kernelLimitsScript && err == nil {
				t.Error("proved although the engine knows no limit")
			}
		})
	}
}

func TestTheFormerLimitsComeBack(t *testing.T) {
	m := &scripted{answers: map[string]string{roomScript: someRoom}}
	effects, err := LimitNode(m.node("-1 8589934592 8589934592"), 0.5, 0).plan(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(effects[0].inject, " "); !strings.HasSuffix(got, "true 50000 8589934592 8589934592") {
		t.Errorf("inject: %s", got)
	}
	if got := strings.Join(effects[0].undo, " "); !strings.HasSuffix(got, "true -1 8589934592 8589934592") {
		t.Errorf("undo: %s", got)
	}
}

// standInSystemd starts units as sessions of their own, so that all of one can be ended.
// It knows what is asked of units here, and no slices.
const standInSystemd = `#!/bin/sh
case "$(basename "$0") $1" in
  systemd-run*)
    for a; do
      case "$a" in --unit=*) unit=${a#--unit=} ;; --on-active=*) timer=yes ;; --) break ;; esac
    done
    while [ "$1" != -- ]; do shift; done
    shift
    if [ "$timer" ]; then printf '%s\0' "$@" >"$UNITS/$unit.timer"; exit; fi
    (
      setsid sh -c 'echo $$ >"$0"; exec "$@" >"$0.log" 2>&1' "$UNITS/$unit.service" "$@"
      rm -f "$UNITS/$unit.service" "$UNITS/$unit.service.log"
      : >"$UNITS/../$unit.ended"
    ) 9<&- >/dev/null 2>&1 &
    until [ -e "$UNITS/$unit.service" ] || [ -e "$UNITS/../$unit.ended" ]; do sleep 0.02; done
    ;;
  *" show") cat "$UNITS/$4" ;;
  *" is-active") [ -e "$UNITS/$3" ] ;;
  *" list-units")
    for a; do pattern=$a; done
    cd "$UNITS" && ls -d $pattern 2>/dev/null || true
    ;;
  *" stop")
    [ -e "$UNITS/$2" ] || exit 5
    case "$2" in *.service) kill -s KILL -- "-$(cat "$UNITS/$2")" ;; esac
    rm -f "$UNITS/$2" "$UNITS/$2.log"
    ;;
esac
`

// withUnits gives a sandbox units with several processes, which end with the test.
func (s sandbox) withUnits() sandbox {
	s.write("bin/systemd-run", standInSystemd)
	s.write("bin/systemctl", standInSystemd)
	s.t.Cleanup(func() {
		units, _ := filepath.Glob(s.path("units/*.service"))
		for _, unit := range units {
			_, _ = s.run(context.WithoutCancel(s.t.Context()), nil, "systemctl", "stop", filepath.Base(unit))
		}
	})
	return s
}

// enterDirectory arms a fault without a timer.
func (s sandbox) enterDirectory(id string) {
	if err := os.MkdirAll(s.path("state/"+id), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

// awaitCondition waits a few seconds for what a script has started.
func awaitCondition(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := clusters.Await(ctx, 50*time.Millisecond, what, check); err != nil {
		t.Error(err)
	}
}

func TestScriptsStress(t *testing.T) {
	for _, make := range []func(*clusters.Node) Fault{
		func(n *clusters.Node) Fault { return StressCPU(n, 1) },
		func(n *clusters.Node) Fault { return StressMemory(n, 8<<20) },
		func(n *clusters.Node) Fault { return StressPIDs(n, 5) },
	} {
		t.Run(string(make(nil).Kind), func(t *testing.T) {
			s := newSandbox(t).withUnits()
			s.start()
			in, victim := s.victim()
			for _, undo := range []func(*Injection) error{
				func(i *Injection) error { return i.Undo(t.Context()) },
				func(*Injection) error { s.fire(); return nil },
			} {
				i, err := in.Inject(t.Context(), make(victim.Node))
				if err != nil {
					t.Fatal(err)
				}
				t.Log(i.Proof())
				if err := errors.Join(undo(i), i.Undo(t.Context())); err != nil {
					t.Fatal(err)
				}
				if _, err := i.Prove(t.Context()); err == nil {
					t.Error("the stress is still proved after its undo")
				}
				if left := s.leftovers(); len(left) > 0 {
					t.Errorf("left over: %v", left)
				}
			}
			in.Sabotage.SkipInject = true
			f := make(victim.Node)
			f.parts[0].plan = hasty(f.parts[0].plan)
			if _, err := in.Inject(t.Context(), f); !errors.Is(err, ErrNotLanded) {
				t.Errorf("nothing is stressed: got %v, want ErrNotLanded", err)
			}
		})
	}
}

// hasty is a plan whose effect has to land at once.
func hasty(plan func(context.Context, string) (effect, error)) func(context.Context, string) (effect, error) {
	return func(ctx context.Context, id string) (effect, error) {
		e, err := plan(ctx, id)
		e.landing = time.Second
		return e, err
	}
}

// groupFiles are a control group of version 1 and one of version 2, and the files of each
// that a kill may change and has to leave as they were.
var groupFiles = map[string]map[string]string{
	"v1": {
		"pod/memory.limit_in_bytes": "9223372036854771712", "pod/memory.usage_in_bytes": "9000000", "pod/memory.swappiness": "60",
		"pod/memory.stat": "active_file 1000000\ninactive_file 2000000\ntotal_active_file 9\n", "vmstat": "nr_free_pages 7\noom_kill 0\n",
	},
	"v2": {
		"pod/memory.max": "max", "pod/memory.current": "9000000", "pod/memory.swap.max": "max",
		"pod/memory.stat": "active_file 1000000\ninactive_file 2000000\n", "memory.events": "oom 0\noom_kill 0\n",
	},
}

// limitOf and killsOf name the files that the kernel reads and writes.
var (
	limitOf = map[string]string{"v1": "pod/memory.limit_in_bytes", "v2": "pod/memory.max"}
	killsOf = map[string]string{"v1": "vmstat", "v2": "memory.events"}
)

func TestScriptsKillForLackOfMemory(t *testing.T) {
	for version, files := range groupFiles {
		t.Run(version, func(t *testing.T) {
			s := newSandbox(t)
			victim, p := s.running()
			if err := os.MkdirAll(s.path("group/pod"), 0o755); err != nil {
				t.Fatal(err)
			}
			for name, content := range files {
				s.write("group/"+name, content)
			}
			s.write("group/pod/cgroup.procs", "")
			s.enterDirectory("oom-0")
			lowered := make(chan string, 1)
			go func() { // as the kernel would
				for range 400 {
					time.Sleep(5 * time.Millisecond)
					now, _ := os.ReadFile(s.path("group/" + limitOf[version]))
					if limit := strings.TrimSpace(string(now)); limit != "" && limit != files[limitOf[version]] {
						s.write("group/"+killsOf[version], "oom_kill 1\n")
						process, _ := os.FindProcess(p.PID)
						_ = process.Kill()
						lowered <- limit
						return
					}
				}
				lowered <- "never"
			}()
			args := append(append([]string{"oom-0"}, identity([]clusters.Process{p})...), s.path("group/pod"), s.path("group/vmstat"))
			if _, err := victim.Node.Exec(t.Context(), command(oomScript, args...)...); err != nil {
				t.Fatal(err)
			}
			if limit := <-lowered; limit != "6000000" {
				t.Errorf("the limit was %s, want what is used without the page cache: 6000000", limit)
			}
			proof, err := proveOOMKilled(t.Context(), victim, p, "oom-0")
			if err != nil || !strings.Contains(proof, "1 kill(s)") {
				t.Errorf("got %q, %v", proof, err)
			}
			s.expectFiles(files, killsOf[version])
			for range 2 {
				if _, err := victim.Node.Exec(t.Context(), command(unlimitScript, "oom-0")...); err != nil {
					t.Error(err)
				}
			}
			if left := s.leftovers(); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

// expectFiles compares a group's files with what they were, save one.
func (s sandbox) expectFiles(files map[string]string, except string) {
	s.t.Helper()
	for name, want := range files {
		if got, err := os.ReadFile(s.path("group/" + name)); name != except && (err != nil || strings.TrimSpace(string(got)) != strings.TrimSpace(want)) {
			s.t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestScriptsPutAHalfDoneLimitBack(t *testing.T) {
	s := newSandbox(t)
	_, victim := s.victim()
	s.enterDirectory("oom-0")
	limit, gone := s.path("limit"), s.path("gone/limit")
	s.write("limit", "1000\n")
	s.write("state/oom-0/limits", fmt.Sprintf("%s 9223372036854771712\n%s 7\n", limit, gone))
	s.write("state/oom-0/part", "/no")
	if _, err := victim.Node.Exec(t.Context(), command(unlimitScript, "oom-0")...); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(limit); strings.TrimSpace(string(got)) != "9223372036854771712" {
		t.Errorf("the limit is %q", got)
	}
	if left := s.leftovers(); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestAnOOMKillNeedsTheKernelsCount(t *testing.T) {
	for _, test := range []struct{ kills, state, want string }{
		{"1\n", "\n", ""},
		{"0\n", "\n", "counts no kill"},
		{"", "\n", "counts no kill"},
		{"1\n", "S 7\n", "there: true"},
	} {
		m := &scripted{answers: map[string]string{killsScript: test.kills, watchScript: test.state}}
		i := clusters.Instance{Component: clusters.Etcd, Node: m.node("")}
		proof, err := proveOOMKilled(t.Context(), i, clusters.Process{PID: 3, StartTicks: 7}, "x")
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %q, %v", test, proof, err)
		}
	}
}

func TestAnOOMKillIsRefusedWhereOthersWouldDie(t *testing.T) {
	m := &scripted{answers: map[string]string{memoryGroupScript: "lack: it shares the control group of its whole node\n"}}
	i := clusters.Instance{Component: clusters.Etcd, Node: m.node("")}
	if _, err := memoryGroup(t.Context(), i, clusters.Process{PID: 3}); !errors.Is(err, clusters.ErrUnsupported) || !strings.Contains(err.Error(), "shares") {
		t.Errorf("got %v", err)
	}
	m.answers[memoryGroupScript] = "/sys/fs/cgroup/x\n"
	if group, err := memoryGroup(t.Context(), i, clusters.Process{PID: 3}); err != nil || group != "/sys/fs/cgroup/x" {
		t.Errorf("got %q, %v", group, err)
	}
	out, err := clusters.LocalShell(t.Context(), "", nil, command(memoryGroupScript, strconv.Itoa(os.Getpid()))...)
	if err != nil || !strings.HasPrefix(string(out), "lack: ") && !strings.HasPrefix(string(out), "/sys/fs/cgroup/") {
		t.Errorf("this process: %q, %v", out, err)
	}
}

func TestResourceScriptsSurviveSystemd(t *testing.T) {
	scripts := []string{roomScript, stressScript, childrenScript, cpuWorkers, memoryHolder, pidSleepers, kernelLimitsScript,
		memoryGroupScript, oomScript, unlimitScript, killsScript, programScript, loadScript, unloadScript, statusScript}
	if n := slices.IndexFunc(scripts, func(s string) bool { return strings.Contains(s, "${") || strings.Contains(s, "$$") }); n >= 0 {
		t.Errorf("systemd rewrites this script: %s", scripts[n])
	}
}
