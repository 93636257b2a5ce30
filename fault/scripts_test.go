package fault

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"faultline/clusters"
)

// sandbox runs the scripts with a real shell on this machine's own processes: paths
// lead to a temporary directory, the component is a process with a unique name,
// and systemd is a stand-in that keeps units as files.
type sandbox struct {
	t    *testing.T
	dir  string
	name string // of the victim's process
	env  []string
}

const standInRun = `#!/bin/sh
printf '%s\n' "$@" >"$UNITS.options"
while [ "$1" != -- ]; do
  case "$1" in --unit=*) unit=${1#--unit=} ;; --on-active=*) timer=yes ;; esac
  shift
done
shift
if [ "$timer" ]; then printf '%s\0' "$@" >"$UNITS/$unit.timer"; exit; fi
"$@" >/dev/null 2>&1 9<&- &
echo $! >"$UNITS/$unit.service"
`

const standInControl = `#!/bin/sh
if [ -e "$UNITS.booting" ]; then
  [ "$1" != show-environment ] || rm "$UNITS.booting"
  exit 1
fi
case "$1" in show-environment) exit ;; esac
case "$1" in daemon-reload|reset-failed|start|restart) echo "$*" >> "$UNITS.log"; exit ;; esac
case "$2" in faultline-*) ;; *) echo "$*" >> "$UNITS.log"; exit ;; esac
unit=$UNITS/$2
[ -e "$unit" ] || exit 5
case "$1 $2" in stop*.service) kill "$(cat "$unit")" ;; esac
[ "$1" != stop ] || rm "$unit"
`

// standInSearch finds by name the sandbox's own processes only. Others on this machine bear
// the names that scripts look for: those of a cluster, which a test must not end. The children
// of a process (-P) are whose it is.
const standInSearch = `#!/bin/sh
[ "$1" != -P ] || exec %[1]s "$@"
found=1
for p in $(%[1]s "$@"); do
  case "$(readlink "/proc/$p/exe")" in %[2]s/*) echo "$p"; found=0 ;; esac
done
exit $found
`

// standInKill ends nothing by its name.
const standInKill = "#!/bin/sh\nexit 1\n"

// victims counts sandboxes, so that each has a process name of its own.
var victims atomic.Int64

func newSandbox(t *testing.T) sandbox {
	t.Helper()
	t.Parallel()
	for _, tool := range []string{"flock", "pgrep", "cmp"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("this machine has no %s, which every node has", tool)
		}
	}
	dir := t.TempDir()
	s := sandbox{t: t, dir: dir, name: fmt.Sprintf("fl-%d-%d", os.Getpid(), victims.Add(1))}
	for _, sub := range []string{"bin", "units", "kubernetes/manifests", "system"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.write("bin/systemd-run", standInRun)
	s.write("bin/systemctl", standInControl)
	search, err := exec.LookPath("pgrep")
	if err != nil {
		t.Fatal(err)
	}
	s.write("bin/pgrep", fmt.Sprintf(standInSearch, search, dir))
	s.write("bin/pkill", standInKill)
	s.env = append(os.Environ(), "PATH="+dir+"/bin:"+os.Getenv("PATH"), "UNITS="+dir+"/units")
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	s.write("bin/"+s.name, string(binary))
	return s
}

func (s sandbox) path(elem string) string { return filepath.Join(s.dir, elem) }

// write holds off every fork of this process: a child that had the file open for
// writing would make its execution fail with "text file busy" (golang/go#22315).
func (s sandbox) write(name, content string) {
	s.t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(s.path(name), []byte(content), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

// start runs a victim until the test ends or the fault ends it.
func (s sandbox) start() {
	s.t.Helper()
	cmd := exec.Command(s.path("bin/"+s.name), "60")
	cmd.Env = append(os.Environ(), "HOSTNAME="+modelNodes[0]) // a container with the node's network
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	s.t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
}

// shell translates a node's command to the sandbox and runs it.
func (s sandbox) shell(ctx context.Context, _ string, in io.Reader, argv ...string) ([]byte, error) {
	translate := strings.NewReplacer(stateDir, s.path("state"), "9</var/lib", "9<"+s.dir, "/etc/kubernetes", s.path("kubernetes"), "/etc/systemd/system", s.path("system"),
		string(clusters.Scheduler), s.name)
	translated := make([]string, len(argv))
	for n, a := range argv {
		translated[n] = translate.Replace(a)
	}
	if len(argv) > 2 && argv[2] == arm {
		undo := decoded(argv[6])
		for n, a := range undo {
			undo[n] = translate.Replace(a)
		}
		translated[6] = coded(undo)
	}
	return s.run(ctx, in, translated...)
}

// decoded is what coded was given.
func decoded(code string) []string {
	text, err := base64.StdEncoding.DecodeString(code)
	if err != nil {
		panic(err)
	}
	const quote = "\x00" // no word of a command can hold it
	words := strings.Split(strings.ReplaceAll(string(text), `'\''`, quote), "' '")
	for n, word := range words {
		words[n] = strings.ReplaceAll(strings.Trim(word, "'"), quote, "'")
	}
	return words
}

func (s sandbox) run(ctx context.Context, in io.Reader, argv ...string) ([]byte, error) {
	if argv[0] == "systemctl" {
		argv[0] = s.path("bin/systemctl")
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stderr bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stderr = s.env, in, &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, stderr.String())
	}
	return out, err
}

// fire does what systemd does when the TTL is over.
func (s sandbox) fire() {
	s.t.Helper()
	timers, _ := filepath.Glob(s.path("units/*.timer"))
	if len(timers) != 1 {
		s.t.Fatalf("timers %v, want one", timers)
	}
	unit, err := os.ReadFile(timers[0])
	if err != nil {
		s.t.Fatal(err)
	}
	argv := strings.Split(strings.TrimSuffix(string(unit), "\x00"), "\x00")
	if _, err := s.run(s.t.Context(), nil, argv...); err != nil {
		s.t.Errorf("the timer's undo: %v", err)
	}
}

// leftovers are the files of faults and the units.
func (s sandbox) leftovers() []string {
	var all []string
	for _, pattern := range []string{"state", "units/*", "kubernetes/manifests/.*", "system/*"} {
		found, _ := filepath.Glob(s.path(pattern))
		all = append(all, found...)
	}
	return all
}

// victim is the sandbox as an instance, with an injector for it.
func (s sandbox) victim() (*Injector, clusters.Instance) {
	c := modelCluster(s.t, s.shell)
	return NewInjector(c, testJournal(s.t)), c.Instances(clusters.Scheduler)[0]
}

// running starts a victim and tells its process.
func (s sandbox) running() (clusters.Instance, clusters.Process) {
	s.t.Helper()
	s.start()
	_, victim := s.victim()
	p, err := victim.Process(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return victim, p
}

// awaitEnd waits a while for the victim to have no process.
func (s sandbox) awaitEnd(victim clusters.Instance) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Second)
	defer cancel()
	return clusters.Await(ctx, 50*time.Millisecond, "its end", func(ctx context.Context) error {
		if _, err := victim.Process(ctx); !errors.Is(err, clusters.ErrNoProcess) {
			return fmt.Errorf("want no process, got %w", errors.Join(err, errors.New("a process")))
		}
		return nil
	})
}

func TestScriptsPauseAndResume(t *testing.T) {
	s := newSandbox(t)
	s.start()
	in, victim := s.victim()
	for _, undo := range []func(*Injection) error{
		func(i *Injection) error { return i.Undo(t.Context()) },
		func(*Injection) error { s.fire(); return nil },
	} {
		i, err := in.Inject(t.Context(), meant(Pause(victim)))
		if err != nil {
			t.Fatal(err)
		}
		if p, err := victim.Process(t.Context()); err != nil || p.State != "T" {
			t.Errorf("process %+v, %v; want state T", p, err)
		}
		if _, err := os.Stat(s.path("state/" + i.ID + "-0")); err != nil {
			t.Error(err)
		}
		if err := errors.Join(undo(i), i.Undo(t.Context())); err != nil {
			t.Fatal(err)
		}
		if p, err := victim.Process(t.Context()); err != nil || p.State == "T" {
			t.Errorf("process %+v, %v; want it to run", p, err)
		}
		if left := s.leftovers(); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
	}
}

// TestAnUndoEndsTheTriesOfATimer undoes a fault whose timer has fired in vain, and wants its
// service, which systemd would start again, to end; but not when it is the service that undoes.
func TestAnUndoEndsTheTriesOfATimer(t *testing.T) {
	s := newSandbox(t)
	s.start()
	in, victim := s.victim()
	for name, undo := range map[string]func(*Injection) error{
		"ours":        func(i *Injection) error { return i.Undo(t.Context()) },
		"the timer's": func(*Injection) error { s.fire(); return nil },
	} {
		i, err := in.Inject(t.Context(), meant(Pause(victim)))
		if err != nil {
			t.Fatal(err)
		}
		if options := s.read("units.options"); !strings.Contains(options, "\n--property=Restart=on-failure\n") {
			t.Errorf("a failed undo is not tried again: systemd-run %s", options)
		}
		service := exec.Command("sleep", "60")
		if err := service.Start(); err != nil {
			t.Fatal(err)
		}
		unit := "units/faultline-undo-" + i.ID + "-0.service"
		s.write(unit, fmt.Sprint(service.Process.Pid))
		if err := undo(i); err != nil {
			t.Error(err)
		}
		if runs := s.read(unit) != ""; runs != (name == "the timer's") {
			t.Errorf("after %s the timer's service is there: %t", name, runs)
		}
		_, _, _ = os.Remove(s.path(unit)), service.Process.Kill(), service.Wait()
		if err := i.Undo(t.Context()); err != nil {
			t.Error(err)
		}
		if left := s.leftovers(); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
	}
}

func TestScriptsKillAndHoldDown(t *testing.T) {
	for _, kind := range []Kind{KindKill, KindTerminate, KindHoldDown} {
		t.Run(string(kind), func(t *testing.T) {
			s := newSandbox(t)
			s.start()
			in, victim := s.victim()
			i, err := in.Inject(t.Context(), meant(constructors[kind].make(victim)))
			if err != nil {
				t.Fatal(err)
			}
			s.start() // as the kubelet would
			if killed, want := s.awaitEnd(victim) == nil, kind == KindHoldDown; killed != want {
				t.Errorf("the restarted process was killed: %t, want %t", killed, want)
			}
			if err := errors.Join(i.Undo(t.Context()), i.Undo(t.Context())); err != nil {
				t.Fatal(err)
			}
			s.start()
			if err := i.AwaitHealed(t.Context()); err != nil {
				t.Error(err)
			}
			if left := s.leftovers(); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

func TestScriptsMoveTheManifest(t *testing.T) {
	s := newSandbox(t)
	victim, process := s.running()
	manifest := "kubernetes/manifests/" + s.name + ".yaml"
	run := func(script string) error {
		args := append([]string{"stop-x-0", clusters.Instance{Component: clusters.Scheduler}.Manifest()}, identity([]clusters.Process{process})...)
		_, err := s.shell(t.Context(), "", nil, command(script, args...)...)
		return err
	}
	armed := func() {
		e := effect{id: "stop-x-0", undo: command(restoreScript, "stop-x-0", clusters.Instance{Component: clusters.Scheduler}.Manifest())}
		if _, err := s.shell(t.Context(), "", nil, e.armCommands(time.Minute)[0]...); err != nil {
			t.Fatal(err)
		}
	}
	content := func() string {
		b, _ := os.ReadFile(s.path(manifest))
		return string(b)
	}
	s.write(manifest, "the manifest\n")

	if err := run(stopScript); err == nil || !strings.Contains(err.Error(), "not armed") || content() == "" {
		t.Errorf("unarmed: %v; manifest %q", err, content())
	}
	armed()
	if err := run(stopScript); err != nil || content() != "" {
		t.Errorf("stop: %v; manifest %q", err, content())
	}
	if state, there, err := watch(t.Context(), victim, process); there || err != nil {
		t.Errorf("nobody ended the process, and it was not killed (state %s, %v)", state, err)
	}
	s.fire()
	if content() != "the manifest\n" || len(s.leftovers()) > 0 {
		t.Errorf("after the timer: manifest %q, left over %v", content(), s.leftovers())
	}
	if err := errors.Join(run(restoreScript), run(restoreScript)); err != nil || content() != "the manifest\n" {
		t.Errorf("undo of the undone: %v; manifest %q", err, content())
	}

	// The node died after the copy and before the original was removed.
	armed()
	s.write("state/stop-x-0/manifest", "the manifest\n")
	s.write("state/stop-x-0/copy", "the ma")
	if err := run(restoreScript); err != nil || content() != "the manifest\n" || len(s.leftovers()) > 0 {
		t.Errorf("half done: %v; manifest %q, left over %v", err, content(), s.leftovers())
	}

	// Somebody else brought another manifest.
	armed()
	if err := run(stopScript); err != nil {
		t.Fatal(err)
	}
	s.write(manifest, "another\n")
	if err := run(restoreScript); err == nil || !strings.Contains(err.Error(), "somebody put another") || content() != "another\n" {
		t.Errorf("conflict: %v; manifest %q", err, content())
	}
	if kept, err := os.ReadFile(s.path("state/stop-x-0/manifest")); err != nil || string(kept) != "the manifest\n" {
		t.Errorf("conflict: the old manifest is not kept: %q, %v", kept, err)
	}
}

func TestALateActionFindsItselfDisarmed(t *testing.T) {
	s := newSandbox(t)
	victim, p := s.running()
	for _, script := range []string{pauseScript, holdScript, holdBareScript, setScript, crashScript} {
		_, err := victim.Node.Exec(t.Context(), command(script, append([]string{"late-0"}, identity([]clusters.Process{p})...)...)...)
		if err == nil || !strings.Contains(err.Error(), "not armed") {
			t.Errorf("got %v", err)
		}
	}
	if now, err := victim.Process(t.Context()); err != nil || now.PID != p.PID || now.State == "T" {
		t.Errorf("process %+v, %v; want %+v untouched", now, err, p)
	}
}

func TestAnotherProcessWithThePIDIsSpared(t *testing.T) {
	s := newSandbox(t)
	victim, p := s.running()
	old := p
	old.StartTicks--
	if _, err := victim.Node.Exec(t.Context(), command(signalScript, append([]string{"KILL"}, identity([]clusters.Process{old})...)...)...); err == nil {
		t.Error("a process that only shares the PID was signalled")
	}
	if _, there, err := watch(t.Context(), victim, old); there || err != nil {
		t.Errorf("the old process is said to exist (%v)", err)
	}
	if now, err := victim.Process(t.Context()); err != nil || now.PID != p.PID {
		t.Errorf("process %+v, %v", now, err)
	}
}

func TestScriptsSurviveSystemd(t *testing.T) {
	names := maps.Clone(scriptNames)
	for script, name := range map[string]string{
		holdLoop: "hold loop", clusters.ListProcesses: "list of processes", downScript: "down", startScript: "start",
	} {
		names[script] = name
	}
	for script, name := range names {
		if strings.Contains(script, "${") || strings.Contains(script, "$$") {
			t.Errorf("the script %s has ${ or $$, which systemd rewrites", name)
		}
	}
}

// A node that was just switched on has to be asked again: recovery undoes first what was done
// last, and may come to a node while it boots.
func TestScriptsUndoOnANodeThatBoots(t *testing.T) {
	for name, undo := range map[string][]string{
		"a process that was held down": command(releaseScript, "hold-0", ""),
		"load":                         command(unloadScript, "hold-0"),
		"a service that was ended":     command(startScript, "hold-0", "x.service"),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			_, victim := s.victim()
			s.enterDirectory("hold-0")
			s.write("units.booting", "")
			if _, err := victim.Node.Exec(t.Context(), undo...); err != nil {
				t.Error(err)
			}
			if left := s.leftovers(); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}
