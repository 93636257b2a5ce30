package fault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
	lastPID   int
}

type modelProcess struct {
	clusters.Process
	stopped time.Time
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
	for _, c := range components {
		held := false
		for _, h := range n.holds {
			held = held || h == c
		}
		p := n.processes[c]
		livenessFailed := p != nil && c.Static() && p.State == "T" && now.Sub(p.stopped) > 100*time.Second
		if held || livenessFailed || (c.Static() && !n.manifests[manifestOf(c)]) {
			delete(n.processes, c)
		}
		if !held && n.processes[c] == nil && (!c.Static() || n.manifests[manifestOf(c)]) {
			n.lastPID++
			n.processes[c] = &modelProcess{Process: clusters.Process{PID: n.lastPID, StartTicks: uint64(n.lastPID) * 7, State: "S"}}
		}
	}
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
	if argv[0] == "systemctl" {
		if _, ok := n.holds[strings.TrimSuffix(strings.TrimPrefix(argv[2], "faultline-hold-"), ".service")]; !ok {
			return nil, errors.New("inactive")
		}
		return nil, nil
	}
	script, args := argv[2], argv[4:]
	if strings.HasPrefix(script, "for p in $(pgrep") {
		var out bytes.Buffer
		for c, p := range n.processes {
			if string(c)[:min(len(c), 15)] == args[0] {
				fmt.Fprintln(&out, p.PID, p.State, p.StartTicks)
			}
		}
		return out.Bytes(), nil
	}
	_, isArmed := n.dirs[args[0]]
	notArmed := errors.New("not armed")
	noProcess := errors.New("process is gone already")
	switch script {
	case arm:
		ttl, err := time.ParseDuration(args[1])
		n.dirs[args[0]] = ""
		n.timers[args[0]] = modelTimer{now.Add(ttl), args[2:]}
		return nil, err
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
		c, p := n.is(args[1], args[2])
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
	releaseScript: "release", stopScript: "stop", restoreScript: "restore",
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
		if len(n.dirs)+len(n.timers)+len(n.holds) > 0 {
			errs = append(errs, fmt.Errorf("left on %s: %v %v %v", name, n.dirs, n.timers, n.holds))
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
	clusters.Kubelet, clusters.ContainerRuntime,
}
