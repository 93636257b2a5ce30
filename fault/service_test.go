package fault

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"faultline/clusters"
)

func TestStartCommandIsTheOneInForce(t *testing.T) {
	for name, c := range map[string]struct{ unit, want string }{
		"a plain unit":        {"[Service]\nExecStartPre=/bin/true\nExecStart=/usr/bin/kubelet\n", "/usr/bin/kubelet"},
		"a drop-in":           {"[Service]\nExecStart=/usr/bin/kubelet\n# other file\n[Service]\nExecStart=\nExecStart=/usr/bin/kubelet $ARGS\n", "/usr/bin/kubelet $ARGS"},
		"a continued line":    {"[Service]\nExecStart=/bin/etcd \\\n  --name=a \\\n  --data-dir=/b\nRestart=always\n", "/bin/etcd    --name=a    --data-dir=/b"},
		"none":                {"[Service]\nExecStart=/bin/a\nExecStart=\n", ""},
		"two":                 {"[Service]\nExecStart=/bin/a\nExecStart=/bin/b\n", ""},
		"no unit":             {"", ""},
		"a comment, no value": {"[Service]\n#ExecStart=/bin/a\n", ""},
	} {
		got, err := startCommand(c.unit)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, c.want)
		}
	}
}

func TestAFlagIsAddedToTheFirstContainer(t *testing.T) {
	for name, c := range map[string]struct{ manifest, want string }{
		"a command":   {"spec: {containers: [{name: a, command: [etcd, --x=1]}, {name: b, command: [b]}]}", "- etcd\n    - --x=1\n    - --bad\n"},
		"arguments":   {"spec: {containers: [{name: a, command: [etcd], args: [--x]}]}", "- --x\n    - --bad\n"},
		"nothing":     {"spec: {containers: [{name: a}]}", ""},
		"no pod":      {"kind: Pod", ""},
		"no YAML":     {"{", ""},
		"a bad field": {"spec: {containers: [{name: a, comand: [etcd]}]}", ""},
	} {
		got, err := withFlags([]byte(c.manifest), "--bad")
		if (err == nil) != (c.want != "") || !strings.Contains(string(got), c.want) || strings.Count(string(got), "--bad") > 1 {
			t.Errorf("%s: got %v\n%s\nwant %q", name, err, got, c.want)
		}
	}
}

// control is what systemd was told.
func (s sandbox) control() string {
	b, _ := os.ReadFile(s.path("units.log"))
	return strings.ReplaceAll(string(b), "\n", "; ")
}

func TestScriptsSetAService(t *testing.T) {
	s := newSandbox(t)
	const id, unit = "stop-service-x-0", "x.service"
	e := effect{id: id}
	e.setService(clusters.Instance{Component: "x", Node: &clusters.Node{Role: clusters.EtcdServer}}, id, stopped(id), "stop", unit)
	run := func(argv []string) error {
		_, err := s.shell(t.Context(), "", nil, argv...)
		return err
	}
	setting := "system/x.service.d/zz-faultline-" + id + ".conf"

	if err := run(e.inject); err == nil || !strings.Contains(err.Error(), "not armed") || s.control() != "" {
		t.Errorf("unarmed: %v; systemd was told %q", err, s.control())
	}
	for _, undo := range []func() error{func() error { return run(e.undo) }, func() error { s.fire(); return nil }} {
		if err := errors.Join(run(e.armCommands(time.Minute)[0]), run(e.inject)); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(s.path(setting)); err != nil || !strings.Contains(string(b), "!"+s.path("state/"+id)+"\n") {
			t.Errorf("the setting is %q, %v", b, err)
		}
		if err := errors.Join(undo(), run(e.undo), run(e.undo)); err != nil {
			t.Error(err)
		}
		if left := s.leftovers(); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
		want := "daemon-reload; stop x.service; daemon-reload; reset-failed x.service; restart --no-block x.service; "
		if s.control() != want {
			t.Errorf("systemd was told %q, want %q", s.control(), want)
		}
		if err := os.Remove(s.path("units.log")); err != nil {
			t.Fatal(err)
		}
	}

	// The node died before the setting had its name, and after.
	for _, half := range []string{setting + ".new", setting} {
		if err := errors.Join(run(e.armCommands(time.Minute)[0]), os.MkdirAll(s.path("system/x.service.d"), 0o755)); err != nil {
			t.Fatal(err)
		}
		s.write("state/"+id+"/service", "")
		s.write(half, "half")
		if err := run(e.undo); err != nil || len(s.leftovers()) > 0 {
			t.Errorf("half done: %v, left over %v", err, s.leftovers())
		}
	}

	// Somebody else's settings stay.
	if err := errors.Join(run(e.armCommands(time.Minute)[0]), run(e.inject)); err != nil {
		t.Fatal(err)
	}
	s.write("system/x.service.d/10-other.conf", "other")
	if err := run(e.undo); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(s.path("system/x.service.d/10-other.conf")); string(b) != "other" {
		t.Errorf("another setting is %q", b)
	}
}

func TestScriptsEndAServiceThatNobodyRestarts(t *testing.T) {
	s := newSandbox(t)
	victim, process := s.running()
	const id, unit = "kill-x-0", "x.service"
	end := command(downScript, append([]string{id, "KILL"}, identity([]clusters.Process{process})...)...)
	undo := command(startScript, id, unit)
	run := func(argv []string) error {
		_, err := s.shell(t.Context(), "", nil, argv...)
		return err
	}
	if err := run(end); err == nil || !strings.Contains(err.Error(), "not armed") {
		t.Errorf("unarmed: %v", err)
	}
	if err := errors.Join(run(effect{id: id, undo: undo}.armCommands(time.Minute)[0]), run(end)); err != nil {
		t.Fatal(err)
	}
	if err := s.awaitEnd(victim); err != nil { // a signal takes its time
		t.Error(err)
	}
	if err := errors.Join(run(undo), run(undo)); err != nil || len(s.leftovers()) > 0 {
		t.Errorf("undo: %v, left over %v", err, s.leftovers())
	}
	if want := strings.Repeat("reset-failed x.service; start --no-block x.service; ", 2); s.control() != want {
		t.Errorf("systemd was told %q, want %q", s.control(), want)
	}
}

func TestScriptsBreakTheManifest(t *testing.T) {
	s := newSandbox(t)
	_, process := s.running()
	const id = "crash-loop-x-0"
	i := clusters.Instance{Component: clusters.Scheduler}
	manifest := "kubernetes/manifests/" + s.name + ".yaml"
	const good, bad = "the manifest\n", "with a bad flag\n"
	s.write(manifest, good)
	run := func(argv []string) error {
		_, err := s.shell(t.Context(), "", nil, argv...)
		return err
	}
	content := func() string {
		b, _ := os.ReadFile(s.path(manifest))
		return string(b)
	}
	pair := identity([]clusters.Process{process})
	crash := func(sum string) []string { return command(crashScript, id, i.Manifest(), pair[0], pair[1], sum, bad) }
	undo := command(restoreScript, id, i.Manifest())
	arm := func() {
		t.Helper()
		if err := run((effect{id: id, undo: undo}).armCommands(time.Minute)[0]); err != nil {
			t.Fatal(err)
		}
	}
	const sum = "e32a08ee8f18fca52d1dc38e7fcb4a8a8f1b2a3bcb3ea6d3a7f4a8ff2d1b2a10"
	arm()
	if err := run(crash(sum)); err == nil || !strings.Contains(err.Error(), "meanwhile") || content() != good {
		t.Errorf("another manifest than planned: %v; manifest %q", err, content())
	}
	if err := run(undo); err != nil || content() != good || len(s.leftovers()) > 0 {
		t.Errorf("undo of what was refused: %v; manifest %q, left over %v", err, content(), s.leftovers())
	}
	arm()
	if err := run(crash(sumOf(good))); err != nil || content() != bad {
		t.Errorf("crash loop: %v; manifest %q", err, content())
	}
	s.fire()
	if content() != good || len(s.leftovers()) > 0 {
		t.Errorf("after the timer: manifest %q, left over %v", content(), s.leftovers())
	}
	if err := errors.Join(run(undo), run(undo)); err != nil || content() != good {
		t.Errorf("undo of the undone: %v; manifest %q", err, content())
	}

	// The node died before the bad manifest was in place, and after.
	for _, current := range []string{good, bad} {
		arm()
		s.write("state/"+id+"/manifest", good)
		s.write("state/"+id+"/broken", bad)
		s.write("kubernetes/manifests/.faultline-"+id, "with a b")
		s.write(manifest, current)
		if err := run(undo); err != nil || content() != good || len(s.leftovers()) > 0 {
			t.Errorf("half done, with %q: %v; manifest %q, left over %v", current, err, content(), s.leftovers())
		}
	}

	// Somebody else brought another manifest.
	arm()
	if err := run(crash(sumOf(good))); err != nil {
		t.Fatal(err)
	}
	s.write(manifest, "another\n")
	if err := run(undo); err == nil || !strings.Contains(err.Error(), "somebody put another") || content() != "another\n" {
		t.Errorf("conflict: %v; manifest %q", err, content())
	}
}

func TestScriptsHoldDownWithoutSystemd(t *testing.T) {
	s := newSandbox(t)
	victim, process := s.running()
	const id = "hold-down-x-0"
	run := func(argv []string) error {
		_, err := s.shell(t.Context(), "", nil, argv...)
		return err
	}
	args := append([]string{id, holdLoop, clusters.ListProcesses, "sh"}, victim.ProcessArguments()...)
	hold := command(holdBareScript, append(args, identity([]clusters.Process{process})...)...)
	active, release := command(activeScript, id), command(releaseBareScript, id, "")
	if err := run(active); err == nil {
		t.Error("a loop that was never started runs")
	}
	if err := errors.Join(run(command(allow, id)), run(hold), run(active)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s.start() // as the container's own loop would
		within := time.Now().Add(5 * time.Second)
		for {
			if _, err := victim.Process(t.Context()); errors.Is(err, clusters.ErrNoProcess) {
				break
			}
			if time.Now().After(within) {
				t.Fatal("the restarted process was not killed")
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	if err := errors.Join(run(release), run(release)); err != nil {
		t.Error(err)
	}
	if err := run(active); err == nil {
		t.Error("the loop runs after its release")
	}
	s.start()
	time.Sleep(300 * time.Millisecond)
	if _, err := victim.Process(t.Context()); err != nil {
		t.Errorf("killed after the release: %v", err)
	}
	if left := s.leftovers(); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}

	// After a reboot the number may be another's.
	if err := run(command(allow, id)); err != nil {
		t.Fatal(err)
	}
	p, err := victim.Process(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.write("state/"+id+"/loop", identity([]clusters.Process{p})[0])
	if err := run(release); err != nil {
		t.Error(err)
	}
	if _, err := victim.Process(t.Context()); err != nil {
		t.Errorf("a stranger was killed: %v", err)
	}
}

func TestANodeWithoutSystemdIsBrokenFromHere(t *testing.T) {
	n := &clusters.Node{Name: "lb", Enter: []string{"enter", "lb"}}
	e := effect{id: "x-0", inject: []string{"break"}, undo: []string{"mend"}}.fromHere(n)
	if e.node.Name != clusters.ThisMachineName || strings.Join(e.inject, " ") != "enter lb break" {
		t.Errorf("on %s: %q", e.node.Name, e.inject)
	}
	if undo := strings.Join(e.undo, " "); !strings.HasSuffix(undo, "faultline x-0 enter lb mend") {
		t.Errorf("undo: %q", undo)
	}
	steps := e.armCommands(time.Minute)
	if len(steps) != 2 || steps[0][0] != "enter" || !strings.HasSuffix(strings.Join(steps[1], " "), "enter lb mend") {
		t.Errorf("armed by %q", steps)
	}
	if e := (effect{id: "x-0", inject: []string{"break"}}).fromHere(n); e.undo != nil || e.arm != nil {
		t.Errorf("nothing to undo: %q", e.undo)
	}
}
