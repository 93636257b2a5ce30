package fault

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"faultline/clusters"
)

func TestMistakesThatAreRefused(t *testing.T) {
	b := newBench(t)
	worker := &clusters.Node{Name: "n1", Role: clusters.Worker}
	worker.Components = []clusters.Component{}
	for name, c := range map[string]struct {
		f    Fault
		want string
	}{
		"a webhook for nothing":        {FailClosedWebhook(b.cluster), "no resource given"},
		"a webhook for a kind":         {FailClosedWebhook(b.cluster, "Pod"), `"Pod" is no name of a resource`},
		"a webhook for the same twice": {FailClosedWebhook(b.cluster, "pods", "pods"), "pods is named twice"},
		"the API's own namespace":      {DeleteNamespace(b.cluster, "kube-system"), "cannot be deleted"},
		"the namespace of heartbeats":  {DeleteNamespace(b.cluster, "kube-node-lease"), "cannot be deleted"},
		"a member that is none":        {RemoveEtcdMember(b.cluster, b.cluster.Instances(clusters.Scheduler)[0]), "no member of etcd"},
		"no node's manifests":          {DeleteManifests(nil), "has no node"},
		"the lease of etcd":            {StealLease(b.cluster, clusters.Etcd), "has no lease"},
		"the lease of the kubelet":     {DeleteLease(b.cluster, clusters.Kubelet), "has no lease"},
	} {
		if _, err := b.Inject(t.Context(), meant(c.f)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
	if _, err := planDeleteManifests(t.Context(), worker, "x"); err == nil || !strings.Contains(err.Error(), "no manifests to delete") {
		t.Errorf("a worker's manifests: got %v", err)
	}
	if len(b.changes()) > 0 {
		t.Errorf("changed %v", b.changes())
	}
}

func TestTheGuardKnowsWhomMistakesTake(t *testing.T) {
	b := newBench(t)
	for name, c := range map[string]struct {
		f    Fault
		want string // empty: allowed
	}{
		"a stolen lease":                {StealLease(b.cluster, clusters.Scheduler), `.Losing("kube-scheduler")`},
		"a deleted lease":               {DeleteLease(b.cluster, clusters.Scheduler), ""},
		"a webhook on pods":             {FailClosedWebhook(b.cluster, "pods"), ""},
		"a webhook on leases":           {FailClosedWebhook(b.cluster, "pods", "leases"), `.Losing("kube-scheduler")`},
		"a webhook on all":              {FailClosedWebhook(b.cluster, "*"), `.Losing("kube-scheduler")`},
		"a member of three":             {RemoveEtcdMember(b.cluster, b.cluster.EtcdMembers()[0]), ""},
		"the manifests of a node":       {DeleteManifests(b.cluster.Nodes[0]), ""},
		"the manifests of two of three": {DeleteManifests(b.cluster.Nodes[:2]...), `.Losing("etcd")`},
		"the signing key":               {LoseSigningKey(b.cluster), `.Losing("kube-apiserver")`},
	} {
		err := b.guard(t.Context(), &Injection{injector: b.Injector, Fault: c.f})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// TestAKeyIsLostWithoutAnAPIServer wants no proof of a check that nobody has made.
func TestAKeyIsLostWithoutAnAPIServer(t *testing.T) {
	b := newBench(t)
	n := b.cluster.Nodes[0]
	n.Components = []clusters.Component{clusters.ControllerManager}
	managers := n.Instances(clusters.ControllerManager)
	b.nodes[n.Name].manifests[pki+"sa.key"] = true
	e, err := planLoseKey(t.Context(), b.cluster, managers, "x-0", newSigningKey)
	if err != nil {
		t.Fatal(err)
	}
	if proof, err := e.prove(t.Context()); err == nil {
		t.Errorf("its process is there: got %q", proof)
	}
	delete(b.nodes[n.Name].processes, clusters.ControllerManager) // the kubelet starts another
	if proof, err := e.prove(t.Context()); err != nil || proof != "what reads the key on n1 has started anew" {
		t.Errorf("got %q, %v", proof, err)
	}
}

// arm arms an undo that does nothing, for scripts that are run one by one.
func (s sandbox) arm(id string) {
	s.t.Helper()
	e := effect{id: id, undo: command("exit")}
	if _, err := s.shell(s.t.Context(), "", nil, e.armCommands(time.Minute)[0]...); err != nil {
		s.t.Fatal(err)
	}
}

// script runs a script.
func (s sandbox) script(script string, args ...string) error {
	_, err := s.shell(s.t.Context(), "", nil, command(script, args...)...)
	return err
}

func TestScriptsDeleteTheManifests(t *testing.T) {
	s := newSandbox(t)
	const first, second = "kubernetes/manifests/etcd.yaml", "kubernetes/manifests/etcd-2.yaml"
	s.write(first, "first\n")
	s.write(second, "second\n")
	both := func(when string, err error, want string) {
		t.Helper()
		if now := s.read(first) + s.read(second); err != nil || now != want {
			t.Errorf("%s: %v; manifests %q, want %q", when, err, now, want)
		}
	}
	if err := s.script(deleteManifestsScript, "m-0"); err == nil || !strings.Contains(err.Error(), "not armed") {
		t.Errorf("unarmed: %v", err)
	}
	s.arm("m-0")
	both("deleted", s.script(deleteManifestsScript, "m-0"), "")
	both("restored", errors.Join(s.script(restoreManifestsScript, "m-0"), s.script(restoreManifestsScript, "m-0")), "first\nsecond\n")
	if left := s.leftovers(); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}

	s.arm("m-0")
	if err := os.Mkdir(s.path("state/m-0/copy"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.write("state/m-0/copy/etcd.yaml", "fir")
	both("while they were copied", s.script(restoreManifestsScript, "m-0"), "first\nsecond\n")

	s.arm("m-0")
	both("deleted", s.script(deleteManifestsScript, "m-0"), "")
	s.write(first, "another\n")
	if err := s.script(restoreManifestsScript, "m-0"); err == nil || !strings.Contains(err.Error(), "somebody put other manifests") {
		t.Errorf("conflict: %v", err)
	}
	both("conflict", nil, "another\nsecond\n")
	if kept := s.read("state/m-0/manifests/etcd.yaml"); kept != "first\n" {
		t.Errorf("conflict: the old manifest is not kept: %q", kept)
	}
}

// standInAPI knows one lease, a file with its holder, and says what it was asked.
const standInAPI = `#!/bin/sh
echo "$*" >> "$UNITS/../asked"
case "$*" in
  *" get lease "*) cat "$UNITS/../holder" ;;
  *" patch lease "*--type=json*) printf '' > "$UNITS/../holder" ;;
  *" patch lease "*) echo "$*" | sed 's/.*"holderIdentity":"\([^"]*\)".*/\1/; q' | tr -d '\n' > "$UNITS/../holder" ;;
  *) exit 1 ;;
esac
`

func TestScriptsStealALease(t *testing.T) {
	s := newSandbox(t)
	s.write("bin/kubectl", standInAPI)
	s.write("holder", "leader")
	if err := s.script(stealScript, "l-0", "a-lease", "stranger", "60"); err == nil || s.read("holder") != "leader" {
		t.Errorf("unarmed: %v, holder %q", err, s.read("holder"))
	}
	s.arm("l-0")
	if err := s.script(stealScript, "l-0", "a-lease", "stranger", "60"); err != nil || s.read("holder") != "stranger" {
		t.Errorf("stolen: %v, holder %q", err, s.read("holder"))
	}
	if err := s.script(releaseLeaseScript, "l-0", "a-lease", "stranger"); err != nil || s.read("holder") != "" || len(s.leftovers()) > 0 {
		t.Errorf("released: %v, holder %q, left over %v", err, s.read("holder"), s.leftovers())
	}
	s.write("holder", "leader")
	if err := s.script(releaseLeaseScript, "l-0", "a-lease", "stranger"); err != nil || s.read("holder") != "leader" {
		t.Errorf("somebody else's: %v, holder %q", err, s.read("holder"))
	}
	if left, _ := filepath.Glob("/tmp/tmp.*/discovery"); len(left) > 0 {
		t.Errorf("kubectl's cache is left: %v", left)
	}
}

// standInSlowAPI says whether the node's lock is free while it is asked, and fails as long as
// there is the file api-down.
const standInSlowAPI = `#!/bin/sh
if flock --nonblock "$UNITS/.." true 9<&-; then echo free; else echo held; fi >> "$UNITS/../lock"
[ ! -e "$UNITS/../api-down" ] || exit 1
case "$*" in *" get lease "*) printf stranger ;; esac
`

// TestUndosThatAskTheAPILetOthersPass wants an undo not to hold the node's lock while the API
// does not answer, and no late action to come between; an action holds it.
func TestUndosThatAskTheAPILetOthersPass(t *testing.T) {
	for name, c := range map[string]struct{ act, undo []string }{
		"a lease":     {command(stealScript, "x-0", "a-lease", "stranger", "60"), command(releaseLeaseScript, "x-0", "a-lease", "stranger")},
		"a webhook":   {command(registerScript, "x-0"), command(unregisterScript, "x-0", "a-webhook")},
		"a namespace": {nil, command(remakeNamespaceScript, "x-0", "a-namespace")},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			s.write("bin/kubectl", standInSlowAPI)
			s.write("bin/sleep", "#!/bin/sh\n")
			run := func(argv []string) error {
				_, err := s.shell(t.Context(), "", strings.NewReader("{}"), argv...)
				return err
			}
			s.arm("x-0")
			if c.act != nil {
				if err := run(c.act); err != nil || strings.Contains(s.read("lock"), "free") {
					t.Errorf("the action: %v; its lock was %q", err, s.read("lock"))
				}
			} else {
				s.write("state/x-0/objects.json", "{}")
			}
			s.write("lock", "")
			s.write("api-down", "")
			if err := run(c.undo); err == nil || !strings.HasPrefix(s.read("lock"), "free\n") || strings.Contains(s.read("lock"), "held") {
				t.Errorf("an undo without the API: %v; its lock was %q", err, s.read("lock"))
			}
			if c.act != nil {
				if err := run(c.act); err == nil || !strings.Contains(err.Error(), "is not armed") {
					t.Errorf("an action in the middle of the undo: %v", err)
				}
			}
			if err := os.Remove(s.path("api-down")); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(run(c.undo), run(c.undo)); err != nil || len(s.leftovers()) > 0 {
				t.Errorf("%v; left over %v", err, s.leftovers())
			}
		})
	}
}

func TestWhatIsSavedOfANamespace(t *testing.T) {
	needJQ(t)
	s := newSandbox(t)
	s.write("in", `{"kind":"Namespace","metadata":{"name":"x","uid":"1","labels":{"a":"b"}},"spec":{"finalizers":["kubernetes"]},"status":{}}
{"items":[
{"kind":"ReplicaSet","metadata":{"name":"made"}},
{"kind":"Event","metadata":{"name":"past"}},
{"kind":"Pod","metadata":{"name":"controlled","ownerReferences":[{"controller":true}]}},
{"kind":"ConfigMap","metadata":{"name":"going","deletionTimestamp":"now"}},
{"kind":"Pod","metadata":{"name":"bare","uid":"2","resourceVersion":"3"},"spec":{"nodeName":"n","containers":[]},"status":{"phase":"Running"}},
{"kind":"ConfigMap","metadata":{"name":"kept","managedFields":[],"annotations":{"a":"b"}},"data":{"k":"v"}},
{"kind":"Service","metadata":{"name":"service"},"spec":{"clusterIP":"10.0.0.9"}},
{"kind":"PersistentVolumeClaim","metadata":{"name":"claim","annotations":{"pv.kubernetes.io/bind-completed":"yes","a":"b"}},"spec":{"volumeName":"v"}},
{"kind":"Job","metadata":{"name":"job"},"spec":{"selector":{},"template":{"metadata":{"labels":{"controller-uid":"4","a":"b"}}}}},
{"kind":"Secret","type":"kubernetes.io/service-account-token","metadata":{"name":"token","annotations":{"kubernetes.io/service-account.uid":"5"}},"data":{"token":"t"}}]}`)
	out, err := s.run(t.Context(), nil, "jq", "--compact-output", "--slurp", saveFilter+" | .items[]", s.path("in"))
	want := `{"kind":"Namespace","metadata":{"name":"x","labels":{"a":"b"}}}
{"kind":"Pod","metadata":{"name":"bare"},"spec":{"containers":[]}}
{"kind":"ConfigMap","metadata":{"name":"kept","annotations":{"a":"b"}},"data":{"k":"v"}}
{"kind":"Service","metadata":{"name":"service"},"spec":{"clusterIP":"10.0.0.9"}}
{"kind":"PersistentVolumeClaim","metadata":{"name":"claim","annotations":{"a":"b"}},"spec":{}}
{"kind":"Job","metadata":{"name":"job"},"spec":{"template":{"metadata":{"labels":{"a":"b"}}}}}
{"kind":"Secret","type":"kubernetes.io/service-account-token","metadata":{"name":"token","annotations":{}}}
`
	if err != nil || string(out) != want {
		t.Errorf("%v; saved is\n%s", err, out)
	}
}
