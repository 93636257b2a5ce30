package main

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"faultline/clusters"
	"faultline/clusters/engine"
	"faultline/clusters/existing"
	"faultline/suites/rundir"
)

// withoutEngine is a machine that has a shell, and no container engine.
func withoutEngine(t *testing.T) {
	t.Helper()
	folder := t.TempDir()
	for _, program := range []string{"sh", "touch", "true", "false"} {
		path, err := exec.LookPath(program)
		if err == nil {
			err = os.Symlink(path, filepath.Join(folder, program))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", folder)
	t.Setenv("KIND_EXPERIMENTAL_PROVIDER", "")
}

// apiOf serves an API that has nothing but namespaces.
type apiOf struct {
	server *httptest.Server

	mu         sync.Mutex
	namespaces []corev1.Namespace
}

func serveNamespaces(t *testing.T, namespaces ...*corev1.Namespace) *apiOf {
	t.Helper()
	a := &apiOf{}
	for _, n := range namespaces {
		a.namespaces = append(a.namespaces, *n)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/namespaces", a.list)
	mux.HandleFunc("DELETE /api/v1/namespaces/{name}", a.remove)
	a.server = httptest.NewTLSServer(mux)
	t.Cleanup(a.server.Close)
	return a
}

func (a *apiOf) list(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := corev1.NamespaceList{TypeMeta: metav1.TypeMeta{Kind: "NamespaceList", APIVersion: "v1"}, Items: []corev1.Namespace{}}
	for _, n := range a.namespaces {
		if r.URL.Query().Get("labelSelector") == clusters.RunLabel+"="+n.Labels[clusters.RunLabel] {
			list.Items = append(list.Items, n)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list)
}

func (a *apiOf) remove(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.namespaces = slices.DeleteFunc(a.namespaces, func(n corev1.Namespace) bool { return n.Name == r.PathValue("name") })
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Success"}`)
}

func (a *apiOf) names() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var names []string
	for _, n := range a.namespaces {
		names = append(names, n.Name)
	}
	return names
}

// leaveTrailOf makes a run one of a game day on the API's cluster, whose node n1 is this machine.
func (a *apiOf) leaveTrailOf(t *testing.T, dir rundir.Dir) {
	t.Helper()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.server.Certificate().Raw})
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
contexts: [{name: staging, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: u, user: {token: x}}]
`, a.server.URL, base64.StdEncoding.EncodeToString(authority))
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	trail := existing.Trail{
		Kubeconfig: kubeconfig, Context: "staging", Run: dir.Run, Command: "NODE={name} sh -c", Addresses: map[string]string{"n1": "10.0.0.1"},
	}
	if err := trail.Save(dir.Trail()); err != nil {
		t.Fatal(err)
	}
}

// A day that was killed is recovered over its own way, without an engine, and its cluster keeps what
// others have there.
func TestAGameDayIsRecoveredOverItsOwnWay(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	withoutEngine(t)
	mark := filepath.Join(t.TempDir(), "mark")
	dir := endedOn(t, "day", "n1", "touch", mark)
	mine, others := map[string]string{clusters.RunLabel: "day"}, map[string]string{clusters.RunLabel: "other"}
	api := serveNamespaces(t, namespace(existing.Namespace, mine), namespace("faultline-probe", others), namespace("shop", mine))
	api.leaveTrailOf(t, dir)
	if err := recoverFaults(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := api.names(); !isThere(t, mark) || isThere(t, dir.State) || !slices.Equal(left, []string{"faultline-probe", "shop"}) {
		t.Errorf("it is undone: %t, the state is there: %t, the namespaces are %v", isThere(t, mark), isThere(t, dir.State), left)
	}
}

// A day may be killed before it has a journal.
func TestATrailWithoutAJournalIsRecovered(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	state, err := rundir.State("day")
	if err != nil {
		t.Fatal(err)
	}
	dir := rundir.Dir{Run: "day", State: state}
	api := serveNamespaces(t, namespace(existing.Namespace, map[string]string{clusters.RunLabel: "day"}))
	api.leaveTrailOf(t, dir)
	if err := recoverFaults(t.Context()); err != nil || isThere(t, dir.State) || len(api.names()) > 0 {
		t.Errorf("got %v, the state is there: %t, the namespaces are %v", err, isThere(t, dir.State), api.names())
	}
}

// What cannot be recovered keeps its state, is told, and keeps no other run from being recovered.
func TestOneBrokenFolderDoesNotKeepOthersFromRecovery(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	withoutEngine(t)
	mark := filepath.Join(t.TempDir(), "mark")
	corrupt := endedOn(t, "a", clusters.ThisMachineName, "true")
	if err := os.WriteFile(corrupt.Journal(), []byte("garbage\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ofKind := endedOn(t, "b", "n1", "true")
	unreadable := endedOn(t, "c", "n1", "true")
	if err := os.WriteFile(unreadable.Trail(), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := endedOn(t, "d", clusters.ThisMachineName, "touch", mark)
	err := recoverFaults(t.Context())
	for _, want := range []string{"run a ", "run b ", "run c "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("it does not tell of %s: %v", want, err)
		}
	}
	if !errors.Is(err, engine.ErrNone) {
		t.Errorf("a run that needs an engine does not say so: %v", err)
	}
	for _, dir := range []rundir.Dir{corrupt, ofKind, unreadable, good} {
		if !isThere(t, dir.Journal()) { // of the good one, too: its cluster may have been kept
			t.Errorf("the journal of run %s is gone", dir.Run)
		}
	}
	if open, err := notRestored(good); err != nil || len(open) > 0 || !isThere(t, mark) {
		t.Errorf("the good run is not recovered: %v, %v, it is undone: %t", open, err, isThere(t, mark))
	}
}
