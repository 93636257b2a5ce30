package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
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

// typing waits until the words are said, and answers.
func (d *dayOut) typing(t *testing.T, said, answer string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	err := clusters.Await(ctx, 100*time.Millisecond, "the words "+said, func(context.Context) error {
		if strings.Contains(d.text(), said) {
			return nil
		}
		if d.cmd.ProcessState != nil {
			return fmt.Errorf("it has ended")
		}
		return fmt.Errorf("not said yet")
	})
	if err != nil {
		t.Fatalf("%v:\n%s", err, d.text())
	}
	if _, err := io.WriteString(d.input, answer+"\n"); err != nil {
		t.Fatal(err)
	}
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
	if after := audit(); after != before {
		t.Errorf("%d requests of refused days have changed the cluster", after-before)
	}
}

// malformations make a good plan one that must not be run.
var malformations = []func(text string, dice *mathrand.Rand) string{
	func(text string, dice *mathrand.Rand) string {
		return text[:dice.IntN(strings.Index(text, "experiments:"))]
	},
	func(text string, dice *mathrand.Rand) string { return otherDigit(text, "uid: ", dice) },
	func(text string, dice *mathrand.Rand) string { return otherDigit(text, "ca: sha256:", dice) },
	func(text string, dice *mathrand.Rand) string { return otherDigit(text, "consent: ", dice) },
	func(text string, dice *mathrand.Rand) string { return otherDigit(text, "address: ", dice) },
	func(text string, _ *mathrand.Rand) string {
		return regexp.MustCompile(`expiresAt: .*`).ReplaceAllString(text, "expiresAt: 2020-01-01T00:00:00Z")
	},
	func(text string, dice *mathrand.Rand) string {
		return fmt.Sprintf("%s\nsurprise%d: true\n", text, dice.IntN(100))
	},
	func(text string, dice *mathrand.Rand) string {
		return strings.Replace(text, "hold: 50s", fmt.Sprintf("hold: %dh", 2+dice.IntN(100)), 1)
	},
	func(text string, _ *mathrand.Rand) string {
		return strings.Replace(text, "fault: hold-down", "fault: destroy", 1)
	},
	func(text string, _ *mathrand.Rand) string {
		return strings.Replace(text, "name: etcd-member", "name: api-server", 1)
	},
	func(text string, dice *mathrand.Rand) string {
		return strings.Replace(text, "version: 1", fmt.Sprintf("version: %d", 2+dice.IntN(9)), 1)
	},
	func(text string, _ *mathrand.Rand) string {
		return strings.Replace(text, "writable: true", "writable: false", 1)
	},
}

// otherDigit changes one hexadecimal digit of the first value after a key.
func otherDigit(text, key string, dice *mathrand.Rand) string {
	at := strings.Index(text, key) + len(key)
	line, _, _ := strings.Cut(text[at:], "\n")
	var digits []int
	for n, c := range line {
		if c >= '0' && c <= '9' {
			digits = append(digits, at+n)
		}
	}
	where := digits[dice.IntN(len(digits))]
	return text[:where] + string('0'+(text[where]-'0'+byte(1+dice.IntN(9)))%10) + text[where+1:]
}

// refuseMalformed tries to hold 200 game days with plans that are malformed or stale.
func refuseMalformed(t *testing.T, kubeconfig, name, command string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "plan.yaml")
	for variable, value := range map[string]string{
		kubeconfigVariable: kubeconfig, contextVariable: name, nodeShellVariable: command, planVariable: file,
		experimentsVariable: "etcd-member worker", holdVariable: "50s", "ARTIFACTS": t.TempDir(),
	} {
		t.Setenv(variable, value)
	}
	if err := gamedayPlan(t.Context()); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	seed := mathrand.Uint64()
	t.Logf("seed %d", seed)
	dice := mathrand.New(mathrand.NewPCG(seed, 0))
	for n := range 200 {
		bad := malformations[n%len(malformations)](string(good), dice)
		if bad == string(good) {
			t.Fatalf("malformation %d changes nothing in:\n%s", n%len(malformations), good)
		}
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		var refused refusal
		if err := runGameday(t.Context()); !errors.As(err, &refused) {
			t.Fatalf("a plan by malformation %d is not refused but: %v\n%s", n%len(malformations), err, bad)
		}
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
	_, path, _ := strings.Cut(out, "the day, for people: ")
	path, _, _ = strings.Cut(path, "\n")
	markdown, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`\*\*Aborted: said so at the terminal\.\*\* Everything was undone \d+\.\d+ s later`, "are as before", " 0 are lost; watches missed 0"} {
		if !regexp.MustCompile(want).Match(markdown) {
			t.Errorf("the day's account lacks %q:\n%s", want, markdown)
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
