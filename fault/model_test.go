package fault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"faultline/clusters"
)

// model is a cluster's nodes in memory: it knows the scripts of this package by
// their text and does what they and a node's kubelet and systemd would do.
type model struct {
	mu    sync.Mutex
	nodes map[string]*modelNode
	calls []string // every command that changes something, as "node script"
}

type modelNode struct {
	processes map[clusters.Component]*modelProcess
	manifests map[string]bool
	dirs      map[string]string // armed fault -> manifest in it
	timers    map[string]modelTimer
	holds     map[string]clusters.Component
	settings  map[string]clusters.Component // armed fault -> the service that it keeps from running
	broken    map[string]string             // manifest -> armed fault
	lastPID   int
}

type modelProcess struct {
	clusters.Process
	started, stopped time.Time
}

// line is what ListProcesses prints of it.
func (p *modelProcess) line(now time.Time) string {
	up := float64(p.StartTicks)/100 + now.Sub(p.started).Seconds()
	return fmt.Sprintf("%d %s %d %.2f", p.PID, p.State, p.StartTicks, up)
}

type modelTimer struct {
	at   time.Time
	argv []string
}

var modelNodes = []string{"n1", "n2", "n3"}

func newModel() *model {
	m := &model{nodes: map[string]*modelNode{}}
	for _, name := range modelNodes {
		n := &modelNode{
			processes: map[clusters.Component]*modelProcess{}, manifests: map[string]bool{},
			dirs: map[string]string{}, timers: map[string]modelTimer{}, holds: map[string]clusters.Component{},
			settings: map[string]clusters.Component{}, broken: map[string]string{},
		}
		for _, c := range components {
			if c.Static() {
				n.manifests[manifestOf(c)] = true
			}
		}
		n.live(time.Now())
		m.nodes[name] = n
	}
	return m
}

// live does what is due: timers fire, loops kill, the kubelet starts and ends.
func (n *modelNode) live(now time.Time) {
	for id, t := range n.timers {
		if !t.at.After(now) {
			delete(n.timers, id)
			_, _ = n.run(now, t.argv)
		}
	}
	for _, c := range slices.Backward(components) { // services first: pods need containerd
		p := n.processes[c]
		livenessFailed := p != nil && c.Static() && p.State == "T" && now.Sub(p.stopped) > 100*time.Second
		if !n.wanted(c) || livenessFailed {
			delete(n.processes, c)
		}
		if n.wanted(c) && n.processes[c] == nil && (!c.Static() || n.processes[clusters.ContainerRuntime] != nil) {
			n.lastPID++
			n.processes[c] = &modelProcess{Process: clusters.Process{PID: n.lastPID, StartTicks: uint64(n.lastPID) * 7, State: "S"}, started: now}
		}
	}
}

// wanted tells whether nothing keeps a component from running.
func (n *modelNode) wanted(c clusters.Component) bool {
	for _, held := range []map[string]clusters.Component{n.holds, n.settings} {
		for _, h := range held {
			if h == c {
				return false
			}
		}
	}
	return !c.Static() || n.manifests[manifestOf(c)] && n.broken[manifestOf(c)] == ""
}

// is finds a process by the identity that scripts are given.
func (n *modelNode) is(pid, start string) (clusters.Component, *modelProcess) {
	for c, p := range n.processes {
		if strconv.Itoa(p.PID) == pid && strconv.FormatUint(p.StartTicks, 10) == start {
			return c, p
		}
	}
	return "", nil
}

func (n *modelNode) leave(id string) { delete(n.dirs, id); delete(n.timers, id) }

func (n *modelNode) run(now time.Time, argv []string) ([]byte, error) {
	switch argv[0] {
	case "systemctl":
		return n.systemctl(argv[1:])
	case "cat":
		return []byte("spec: {containers: [{command: [x]}]}"), nil
	}
	script, args := argv[2], argv[4:]
	if script == clusters.ListProcesses {
		var out bytes.Buffer
		for c, p := range n.processes {
			if string(c)[:min(len(c), 15)] == args[0] {
				fmt.Fprintln(&out, p.line(now))
			}
		}
		return out.Bytes(), nil
	}
	if strings.HasPrefix(script, "for p in $(pgrep") && len(args) == 1 { // pods that the scheduler has placed
		if n.processes[clusters.Component(args[0])] == nil {
			return nil, nil
		}
		return []byte(args[0] + "-pod\n"), nil
	}
	if len(args) == 0 {
		return n.containers(script)
	}
	_, isArmed := n.dirs[args[0]]
	notArmed := errors.New("not armed")
	noProcess := errors.New("process is gone already")
	switch script {
	case arm:
		ttl, err := time.ParseDuration(args[1])
		n.dirs[args[0]] = ""
		n.timers[args[0]] = modelTimer{now.Add(ttl), decoded(args[2])}
		return nil, err
	case leftScript:
		left := 0
		for k := 0; k < len(args); k += 2 {
			if _, p := n.is(args[k], args[k+1]); p != nil {
				left++
			}
		}
		return fmt.Appendln(nil, left), nil
	case crashScript:
		if !isArmed || !n.manifests[args[1]] {
			return nil, notArmed
		}
		n.dirs[args[0]], n.broken[args[1]] = args[1], args[0]
	case podExitScript:
		return fmt.Appendf(nil, "2 1\nunknown flag: %s\n", badFlag(n.broken[manifestOf(clusters.Component(args[0]))])), nil
	case setScript, setScript + endScript:
		if !isArmed {
			return nil, notArmed
		}
		n.settings[args[0]] = componentOf(args[len(args)-1])
		if script != setScript {
			_, _ = n.containers(endScript)
		}
	case unsetScript:
		delete(n.settings, args[0])
		n.leave(args[0])
	case serviceExitScript:
		return fmt.Appendf(nil, "2 1\nunknown flag: %s\n", badFlag(n.setting(componentOf(args[0])))), nil
	case signalScript:
		c, p := n.is(args[1], args[2])
		if p == nil {
			return nil, noProcess
		}
		delete(n.processes, c)
	case pauseScript:
		_, p := n.is(args[1], args[2])
		if !isArmed || p == nil {
			return nil, errors.Join(notArmed, noProcess)
		}
		p.State, p.stopped = "T", now
	case resumeScript:
		if _, p := n.is(args[1], args[2]); p != nil {
			p.State = "S"
		}
		n.leave(args[0])
	case holdScript:
		c, p := n.is(args[7], args[8])
		if !isArmed || p == nil {
			return nil, errors.Join(notArmed, noProcess)
		}
		n.holds[args[0]] = c
	case releaseScript:
		delete(n.holds, args[0])
		n.leave(args[0])
	case stopScript:
		if !isArmed || !n.manifests[args[1]] {
			return nil, notArmed
		}
		n.dirs[args[0]] = args[1]
		delete(n.manifests, args[1])
	case restoreScript:
		if m := n.dirs[args[0]]; m != "" {
			n.manifests[m] = true
			delete(n.broken, m)
		}
		n.leave(args[0])
	case watchScript:
		if _, p := n.is(args[0], args[1]); p != nil {
			return fmt.Appendln(nil, p.State, p.StartTicks), nil
		}
		return []byte("\n"), nil
	case existsScript:
		return map[bool][]byte{true: []byte("yes\n"), false: []byte("no\n")}[n.manifests[args[0]]], nil
	default:
		return nil, fmt.Errorf("the model does not know the script %q", script)
	}
	return nil, nil
}

// setting is the fault that keeps a service from running.
func (n *modelNode) setting(c clusters.Component) string {
	for id, s := range n.settings {
		if s == c {
			return id
		}
	}
	return ""
}

// componentOf is the component of a systemd unit.
func componentOf(unit string) clusters.Component {
	return clusters.Component(strings.TrimSuffix(unit, ".service"))
}

// systemctl answers what faults ask of systemd.
func (n *modelNode) systemctl(args []string) ([]byte, error) {
	switch unit := args[len(args)-1]; {
	case args[0] == "cat":
		return []byte("[Service]\nExecStart=/bin/x\n"), nil
	case args[0] == "show" && args[1] == "--property=Restart":
		return []byte("always\n"), nil
	case args[0] == "show":
		id := n.setting(componentOf(unit))
		if id == "" {
			return []byte("ActiveState=active\nDropInPaths=\n"), nil
		}
		return fmt.Appendf(nil, "ActiveState=inactive\nDropInPaths=%s\n", dropIn(unit, id)), nil
	default:
		if _, ok := n.holds[strings.TrimSuffix(strings.TrimPrefix(unit, "faultline-hold-"), ".service")]; !ok {
			return nil, errors.New("inactive")
		}
		return nil, nil
	}
}

// containers lists or ends containerd and the static pods.
func (n *modelNode) containers(script string) ([]byte, error) {
	var out []byte
	for c, p := range n.processes {
		if c == clusters.Kubelet {
			continue
		}
		out = fmt.Appendln(out, p.PID, p.StartTicks)
		if script == endScript {
			delete(n.processes, c)
		}
	}
	return out, nil
}

// shell is the way to the model's nodes.
func (m *model) shell(ctx context.Context, node string, _ io.Reader, argv ...string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[node]
	now := time.Now()
	n.live(now)
	out, err := n.run(now, argv)
	if argv[0] == "sh" && scriptNames[argv[2]] != "" {
		m.calls = append(m.calls, node+" "+scriptNames[argv[2]])
	}
	n.live(now)
	return out, err
}

var scriptNames = map[string]string{
	arm: "arm", signalScript: "signal", pauseScript: "pause", resumeScript: "resume", holdScript: "hold",
	releaseScript: "release", stopScript: "stop", restoreScript: "restore", crashScript: "crash",
	setScript: "set", unsetScript: "unset", setScript + endScript: "set", endScript: "end",
	rewriteScript: "rewrite", putBackScript: "put back", loseKeyScript: "lose the key", findKeyScript: "find the key",
	stealScript: "steal", releaseLeaseScript: "release the lease", registerScript: "register", unregisterScript: "unregister",
	deleteManifestsScript: "delete manifests", restoreManifestsScript: "restore manifests",
	deleteNamespaceScript: "delete namespace", remakeNamespaceScript: "remake namespace",
	removeMemberScript: "remove member", rejoinScript: "rejoin",
}

// changes are the commands so far that change something.
func (m *model) changes() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.calls...)
}

// unwell tells everything that is broken or left over.
func (m *model) unwell() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for name, n := range m.nodes {
		n.live(time.Now())
		for _, c := range components {
			if p := n.processes[c]; p == nil || p.State == "T" {
				errs = append(errs, fmt.Errorf("%s on %s: process %+v", c, name, p))
			}
			if c.Static() && !n.manifests[manifestOf(c)] {
				errs = append(errs, fmt.Errorf("%s on %s: no manifest", c, name))
			}
		}
		if len(n.dirs)+len(n.timers)+len(n.holds)+len(n.settings)+len(n.broken) > 0 {
			errs = append(errs, fmt.Errorf("left on %s: %v %v %v %v %v", name, n.dirs, n.timers, n.holds, n.settings, n.broken))
		}
	}
	return errors.Join(errs...)
}

// modelCluster is a cluster whose nodes answer through a shell.
func modelCluster(t *testing.T, shell clusters.Shell) *clusters.Cluster {
	t.Helper()
	config := filepath.Join(t.TempDir(), "kubeconfig")
	content := `{"apiVersion":"v1","kind":"Config","current-context":"x",
"clusters":[{"name":"x","cluster":{"server":"https://127.0.0.1:1"}}],"users":[{"name":"x","user":{}}],
"contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}]}`
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &clusters.Cluster{Name: "model", Run: "run-1", Kubeconfig: config}
	for _, name := range modelNodes {
		c.Nodes = append(c.Nodes, &clusters.Node{Name: name, Role: clusters.ControlPlane})
	}
	if err := c.Connect(shell); err != nil {
		t.Fatal(err)
	}
	return c
}

// shellForModel is a ShellFor whose every node exists.
func shellForModel(m *model) ShellFor {
	return func(context.Context, string, string) (clusters.Shell, error) { return m.shell, nil }
}

// manifestOf is the path of a component's manifest.
func manifestOf(c clusters.Component) string { return clusters.Instance{Component: c}.Manifest() }

// components are what the nodes of the model have.
var components = []clusters.Component{
	clusters.Etcd, clusters.APIServer, clusters.Scheduler, clusters.ControllerManager,
	clusters.Kubelet, clusters.ContainerRuntime, clusters.KubeProxy,
}
