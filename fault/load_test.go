package fault

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"faultline/clusters"
)

const somePrograms = "docker.io/faultline/workload:abc sha256:123\n"

func TestLoadsRefuseWhatMakesNoSense(t *testing.T) {
	for _, test := range []struct {
		name     string
		fault    func(*clusters.Node) Fault
		programs string
		want     string // empty: allowed
	}{
		{"nobody", func(n *clusters.Node) Fault { return FloodAPI(n, 0, 100) }, somePrograms, "0 clients are out of range"},
		{"a crowd", func(n *clusters.Node) Fault { return FloodAPI(n, 1001, 100) }, somePrograms, "want 1 to 1000"},
		{"no flood", func(n *clusters.Node) Fault { return FloodAPI(n, 10, 0) }, somePrograms, "0 requests a second"},
		{"too much", func(n *clusters.Node) Fault { return FloodAPI(n, 10, 5001) }, somePrograms, "5001 requests a second"},
		{"no number", func(n *clusters.Node) Fault { return FloodAPI(n, 10, math.NaN()) }, somePrograms, "out of range"},
		{"no image", func(n *clusters.Node) Fault { return FloodAPI(n, 10, 100) }, "", "no workload image"},
		{"a flood", func(n *clusters.Node) Fault { return FloodAPI(n, 10, 100) }, somePrograms, ""},
		{"a hurricane", func(n *clusters.Node) Fault { return EventStorm(n, 1001) }, somePrograms, "out of range"},
		{"a storm", func(n *clusters.Node) Fault { return EventStorm(n, 1000) }, somePrograms, ""},
		{"no objects", func(n *clusters.Node) Fault { return BigLists(n, 0, 1) }, somePrograms, "0 objects"},
		{"no lists", func(n *clusters.Node) Fault { return BigLists(n, 1, 0) }, somePrograms, "0 parallel lists"},
		{"huge lists", func(n *clusters.Node) Fault { return BigLists(n, 2000, 50) }, somePrograms, "bytes that are listed"},
		{"lists", func(n *clusters.Node) Fault { return BigLists(n, 2000, 5) }, somePrograms, ""},
		{"too many pods", func(n *clusters.Node) Fault { return ChurnPods(n, 21) }, somePrograms, "21 pods a second"},
		{"pods", func(n *clusters.Node) Fault { return ChurnPods(n, 0.1) }, somePrograms, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &scripted{answers: map[string]string{programScript: test.programs}}
			err := test.fault(m.node("", clusters.APIServer)).Available(t.Context())
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if len(m.others) > 0 {
				t.Errorf("a look changed something: %v", m.others)
			}
		})
	}
	n := (&scripted{}).node("", clusters.Etcd)
	if err := EventStorm(n, 1).Available(t.Context()); err == nil || !strings.Contains(err.Error(), "no control-plane node with an API server") {
		t.Errorf("a node without an API server: got %v", err)
	}
}

func TestLoadsAreJudgedByTheirLastSecond(t *testing.T) {
	flood, lists := load{rate: 100}, load{}
	for _, test := range []struct {
		name string
		load load
		told told
		want string // in the error; empty: in effect
	}{
		{"all of it", flood, told{Began: 100, Done: 100, Seconds: 1}, ""},
		{"most of it", flood, told{Began: 60, Done: 55, Seconds: 1}, ""},
		{"a little", flood, told{Began: 30, Done: 30, Seconds: 1}, "not half of 100"},
		{"a little, because nobody keeps up", flood, told{Began: 30, Done: 20, Withheld: 70, Waiting: 10, Seconds: 1}, ""},
		{"a little, because it is turned away", flood, told{Began: 30, Refused: 30, Seconds: 1}, ""},
		{"no answer", flood, told{Began: 100, Waiting: 100, Seconds: 1}, "nothing was answered"},
		{"failures", flood, told{Began: 100, Failed: 100, Seconds: 1, Error: "refused"}, "100 failed (refused)"},
		{"nothing", flood, told{}, "nothing was answered"},
		{"lists", lists, told{Began: 3, Done: 3, Seconds: 1}, ""},
		{"long lists", lists, told{Waiting: 3, Seconds: 1}, ""},
		{"no lists", lists, told{Failed: 3, Seconds: 1}, "nothing was answered"},
	} {
		err := test.load.inEffect(test.told)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
}

// TestALoadIsHealedWhenTheAPIHasForgottenIt does not believe the end of the unit that asks it to,
// which gives up after a while.
func TestALoadIsHealedWhenTheAPIHasForgottenIt(t *testing.T) {
	ask := Kubectl()[2]
	m := &scripted{answers: map[string]string{ask: "namespace/faultline-x\n"}}
	n := m.node("", clusters.APIServer)
	if err := namespaceGone(t.Context(), n, "faultline-x"); err == nil || !strings.Contains(err.Error(), "still has the namespace faultline-x") {
		t.Errorf("it is there: %v", err)
	}
	m.answers[ask] = ""
	if err := namespaceGone(t.Context(), n, "faultline-x"); err != nil {
		t.Errorf("it is gone: %v", err)
	}
	delete(m.answers, ask)
	if err := namespaceGone(t.Context(), n, "faultline-x"); err == nil {
		t.Error("without an answer it is taken for gone")
	}
}

// The stand-ins of a node with an API. Its objects are files; the file api-down takes it
// away. The layer of the image holds a program that tells what it was asked and goes on.
const (
	standInKubectl = `#!/bin/sh
[ ! -e "$UNITS/../api-down" ] || { echo "connection refused" >&2; exit 1; }
case "$*" in
  *" apply "*) cat >"$UNITS/../applied" ;;
  *" create token "*) echo secret ;;
  *" delete namespace "*) echo "$*" >"$UNITS/../deleted" ;;
esac
`
	standInCtr = `#!/bin/sh
case "$*" in *" content get sha256:123") tar -c -C "$UNITS/.." workload ;; *) exit 1 ;; esac
`
	standInWorkload = `#!/bin/sh
echo "$*" >"$UNITS/../asked"
while [ "$1" != -dir ]; do shift; done
while :; do echo '{"began": 100, "done": 99, "seconds": 1}' >"$2/status"; sleep 0.2; done
`
)

// withAPI gives a sandbox what loads need of a node.
func (s sandbox) withAPI() sandbox {
	s.withUnits()
	for name, content := range map[string]string{"bin/kubectl": standInKubectl, "bin/ctr": standInCtr, "workload": standInWorkload} {
		s.write(name, content)
	}
	if err := os.MkdirAll(s.path("kubernetes/pki"), 0o755); err != nil {
		s.t.Fatal(err)
	}
	s.write("kubernetes/pki/ca.crt", "authority\n")
	return s
}

// read is the content of a file of the sandbox.
func (s sandbox) read(name string) string {
	content, _ := os.ReadFile(s.path(name))
	return string(content)
}

func TestScriptsLoad(t *testing.T) {
	s := newSandbox(t).withAPI()
	_, victim := s.victim()
	n := victim.Node
	run := func(script string, args ...string) error {
		_, err := n.Exec(t.Context(), command(script, append([]string{"flood-0"}, args...)...)...)
		return err
	}
	forget := coded(command(forgetScript, "faultline-flood-0"))
	begin := func() error {
		return run(loadScript, "sha256:123", "requests", "-server", "https://10.0.0.1:6443", "-rate", "100")
	}
	if err := begin(); err == nil || !strings.Contains(err.Error(), "not armed") {
		t.Errorf("unarmed: %v", err)
	}
	for _, apiReturns := range []bool{false, true} {
		s.enterDirectory("flood-0")
		if err := begin(); err != nil {
			t.Fatal(err)
		}
		proof := func(ctx context.Context) error { _, err := load{rate: 100}.proveOn(ctx, n, "flood-0"); return err }
		awaitCondition(t, "the proof", proof)
		want := fmt.Sprintf("load requests -dir %s -namespace faultline-flood-0 -server https://10.0.0.1:6443 -rate 100\n", s.path("state/flood-0"))
		if got := s.read("asked"); got != want {
			t.Errorf("the program was asked %q, want %q", got, want)
		}
		if got := s.read("applied"); !strings.Contains(got, "{name: client, namespace: faultline-flood-0}") {
			t.Errorf("applied %s", got)
		}
		if got := s.read("state/flood-0/token"); got != "secret\n" {
			t.Errorf("the token is %q", got)
		}
		if apiReturns {
			s.write("api-down", "")
		}
		if err := errors.Join(run(unloadScript, forget), run(unloadScript, forget)); err != nil {
			t.Fatal(err)
		}
		if proof(t.Context()) == nil {
			t.Error("the load is still proved after its undo")
		}
		if apiReturns {
			if err := unitGone(t.Context(), n, "flood-0"); err == nil || s.read("deleted") != "" {
				t.Errorf("without the API the namespace was given up: %v, %q", err, s.read("deleted"))
			}
			os.Remove(s.path("api-down"))
		}
		awaitCondition(t, "the end of its units", func(ctx context.Context) error { return unitGone(ctx, n, "flood-0") })
		if got := s.read("deleted"); !strings.Contains(got, "delete namespace faultline-flood-0 ") {
			t.Errorf("deleted %q", got)
		}
		os.Remove(s.path("deleted"))
		if left := s.leftovers(); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
	}
}

func TestScriptsUndoAHalfDoneLoad(t *testing.T) {
	s := newSandbox(t).withAPI()
	_, victim := s.victim()
	s.enterDirectory("flood-0")
	for _, name := range []string{"layer", "workload", "ca.crt", "status.part"} {
		s.write("state/flood-0/"+name, "")
	}
	if _, err := victim.Node.Exec(t.Context(), command(unloadScript, "flood-0", coded(command(forgetScript, "faultline-flood-0")))...); err != nil {
		t.Fatal(err)
	}
	awaitCondition(t, "the deletion of its namespace", func(context.Context) error {
		if s.read("deleted") == "" {
			return errors.New("not yet")
		}
		return nil
	})
	awaitCondition(t, "the end of its units", func(ctx context.Context) error { return unitGone(ctx, victim.Node, "flood-0") })
	if left, _ := filepath.Glob(s.path("state")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}
