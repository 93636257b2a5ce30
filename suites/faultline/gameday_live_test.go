package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"faultline/clusters"
	"faultline/clusters/clustertest"
	"faultline/clusters/existing"
	"faultline/clusters/kind"
	"faultline/reports/record"
	"faultline/suites/rundir"
)

// dayOut is a command of this binary under way.
type dayOut struct {
	cmd   *exec.Cmd
	input io.WriteCloser

	mu  sync.Mutex
	out bytes.Buffer
}

func (d *dayOut) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.Write(p)
}

func (d *dayOut) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.String()
}

// start starts a verb with the variables.
func start(t *testing.T, verb string, variables ...string) *dayOut {
	t.Helper()
	d := &dayOut{cmd: exec.Command(os.Args[0], verb)}
	d.cmd.Env = append(os.Environ(), variables...)
	d.cmd.Stdout, d.cmd.Stderr = d, d
	input, err := d.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.input = input
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return d
}

// end waits for the verb's end, and wants the exit status.
func (d *dayOut) end(t *testing.T, status int) string {
	t.Helper()
	_ = d.cmd.Wait()
	if got := d.cmd.ProcessState.ExitCode(); got != status {
		t.Fatalf("%v: exit status %d, want %d:\n%s", d.cmd.Args[1:], got, status, d.text())
	}
	return d.text()
}

// said waits until something is said, and returns the first group of it.
func (d *dayOut) said(t *testing.T, words *regexp.Regexp) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	var found []string
	err := clusters.Await(ctx, 100*time.Millisecond, words.String(), func(context.Context) error {
		if found = words.FindStringSubmatch(d.text()); found != nil {
			return nil
		}
		return errors.New("not said yet")
	})
	if err != nil {
		t.Fatalf("%v:\n%s", err, d.text())
	}
	return found[len(found)-1]
}

// typing waits until the words are said, and answers.
func (d *dayOut) typing(t *testing.T, said, answer string) {
	t.Helper()
	d.said(t, regexp.MustCompile(regexp.QuoteMeta(said)))
	if _, err := io.WriteString(d.input, answer+"\n"); err != nil {
		t.Fatal(err)
	}
}

// account is what the day tells people when it is over.
func (d *dayOut) account(t *testing.T) string {
	t.Helper()
	markdown, err := os.ReadFile(d.said(t, regexp.MustCompile("the day, for people: (.*)")))
	if err != nil {
		t.Fatal(err)
	}
	return string(markdown)
}

// consent applies what the owner of the cluster would, after editing the template.
func consented(t *testing.T, target *existing.Target, template string) {
	t.Helper()
	template = strings.NewReplacer(
		"families: [process]", "families: [process, network, resources]", "nodes: 1", "nodes: 2", "losing: []", "losing: [etcd]",
	).Replace(template)
	var object corev1.ConfigMap
	if err := yaml.UnmarshalStrict([]byte(template), &object); err != nil {
		t.Fatal(err)
	}
	if _, err := target.Client().CoreV1().ConfigMaps(object.Namespace).Create(t.Context(), &object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestGameday holds a game day on a cluster that plain kind has made, over pods: a plan is
// refused without consent, experiments go as predicted, the loss of the quorum that was
// allowed is aborted in its middle, and nothing is left.
func TestGameday(t *testing.T) {
	kubeconfig, name := clustertest.NewPlain(t)
	experiments := "api-server etcd-majority"
	if clustertest.Full() {
		experiments = "api-server scheduler-leader etcd-member worker master cpu-stress packet-loss etcd-majority"
	}
	holdGameday(t, kubeconfig, name, experiments)
	if clustertest.Full() {
		t.Run("by the page", func(t *testing.T) { pageGameday(t, kubeconfig, name) })
		killGameday(t, kubeconfig, name)
	}
}

// killGameday kills a day with SIGKILL while a fault is in effect. What outlives it has to undo
// the fault long before the node's timer would, and to leave nothing.
func killGameday(t *testing.T, kubeconfig, name string) {
	t.Helper()
	target, err := existing.Open(kubeconfig, name)
	if err != nil {
		t.Fatal(err)
	}
	variables := gamedayVariables(t, kubeconfig, name, "etcd-majority")
	start(t, "gameday-plan", variables...).end(t, 0)
	day := start(t, "gameday", variables...)
	day.typing(t, "Type yes", "yes")
	day.typing(t, "experiment 1 of", "approve")
	day.typing(t, "etcd-majority is broken", "note about to be killed")
	if err := day.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	_ = day.cmd.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = clusters.Await(ctx, time.Second, "the end of everything", func(ctx context.Context) error { return left(ctx, target) })
	if err != nil {
		t.Fatalf("%v:\n%s", err, day.text())
	}
	t.Logf("after a SIGKILL the quorum was back and nothing was left within %s", time.Since(killed))
}

func gamedayVariables(t *testing.T, kubeconfig, name, experiments string) []string {
	t.Helper()
	artifacts := t.TempDir()
	return []string{
		kubeconfigVariable + "=" + kubeconfig, contextVariable + "=" + name, "ARTIFACTS=" + artifacts, planVariable + "=" + filepath.Join(artifacts, "plan.yaml"),
		experimentsVariable + "=" + experiments, holdVariable + "=50s", rundir.Variable + "=day" + strings.ToLower(rand.Text()[:6]),
	}
}

// TestGamedayBesideKubernetes holds one on a cluster that kubeadm has made, with an etcd on
// machines of its own, reached by a command.
func TestGamedayBesideKubernetes(t *testing.T) {
	clustertest.NeedFull(t)
	o := clustertest.Options(t, clustertest.PlainLayout())
	folder := t.TempDir()
	t.Cleanup(func() {
		if err := kind.DeleteRun(context.WithoutCancel(t.Context()), o.Engine, o.Run, t.Logf); err != nil {
			t.Error(err)
		}
	})
	if out, err := exec.CommandContext(t.Context(), "sh", "testdata/kubeadm.sh", o.Images.Node, o.Run, folder).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	script, err := filepath.Abs("testdata/node.sh")
	if err != nil {
		t.Fatal(err)
	}
	const name = "kubernetes-admin@kubernetes"
	kubeconfig, command := filepath.Join(folder, "kubeconfig"), "sh "+script+" "+folder+" {address}"
	holdGameday(t, kubeconfig, name, "etcd-member worker etcd-majority", nodeShellVariable+"="+command)

	// The consent is there now. What does not fit changes nothing, as the cluster itself tells.
	audit := func() int {
		out, err := o.Engine.Exec(t.Context(), "faultline-"+o.Run+"-master", "sh", "-c",
			`grep '"userAgent":"faultline' /etc/kubernetes/audit/log | grep -c '"verb":"\(create\|update\|patch\|delete\|deletecollection\)"' || true`)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(out)))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := audit()
	if before == 0 {
		t.Error("the audit log knows nothing of the day that was held")
	}
	refuseMalformed(t, kubeconfig, name, command)
	refuseConsents(t, kubeconfig)
	if after := audit(); after != before {
		t.Errorf("%d requests of refused days have changed the cluster", after-before)
	}
}

// holdGameday wants all experiments to go as predicted, save the last one, which it aborts.
func holdGameday(t *testing.T, kubeconfig, name, experiments string, more ...string) {
	t.Helper()
	target, err := existing.Open(kubeconfig, name)
	if err != nil {
		t.Fatal(err)
	}
	variables := append(gamedayVariables(t, kubeconfig, name, experiments), more...)
	refused := start(t, "gameday-plan", variables...).end(t, record.OutcomeRefused.ExitStatus())
	if !strings.Contains(refused, "has not consented") {
		t.Errorf("without consent:\n%s", refused)
	}
	consented(t, target, start(t, "gameday-consent", variables...).end(t, 0))
	t.Log(start(t, "gameday-plan", variables...).end(t, 0))

	day := start(t, "gameday", variables...)
	if len(more) == 0 {
		day.typing(t, "Type yes", "yes")
	}
	all := strings.Fields(experiments)
	for n := range all {
		day.typing(t, fmt.Sprintf("experiment %d of", n+1), "approve")
	}
	day.typing(t, all[len(all)-1]+" is broken", "") // Enter aborts
	out := day.end(t, record.OutcomeInconclusive.ExitStatus())
	t.Log(out)
	for _, e := range all[:len(all)-1] {
		if !strings.Contains(out, e+": held") {
			t.Errorf("experiment %s did not hold", e)
		}
	}
	account := day.account(t)
	for _, want := range []string{`\*\*Aborted: said so at the terminal\.\*\* Everything was undone \d+\.\d+ s later`, "are as before", " 0 are lost; watches missed 0"} {
		if !regexp.MustCompile(want).MatchString(account) {
			t.Errorf("the day's account lacks %q:\n%s", want, account)
		}
	}
	if err := left(t.Context(), target); err != nil {
		t.Error(err)
	}
}

// left tells what is left of a game day in the cluster; nil when there is nothing.
func left(ctx context.Context, target *existing.Target) error {
	list, err := target.Client().CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, n := range list.Items {
		if strings.HasPrefix(n.Name, "faultline") {
			return fmt.Errorf("namespace %s is left", n.Name)
		}
	}
	return nil
}
