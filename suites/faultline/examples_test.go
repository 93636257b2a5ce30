package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rhysd/actionlint"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const (
	workflow   = "examples/github-actions.yaml"
	indexedJob = "examples/indexed-job.yaml"
)

// lintWorkflow lists what GitHub Actions would refuse.
func lintWorkflow(t *testing.T, text []byte) []*actionlint.Error {
	t.Helper()
	linter, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := linter.Lint(workflow, text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestWorkflowIsValid(t *testing.T) {
	text := example(t, workflow)
	for _, e := range lintWorkflow(t, text) {
		t.Error(e)
	}
	wrong := bytes.Replace(text, []byte("matrix.shard }}"), []byte("matrix.part }}"), 1)
	if len(lintWorkflow(t, wrong)) == 0 {
		t.Error("a variable that does not exist is not noticed")
	}
}

func TestIndexedJobIsValid(t *testing.T) {
	text := string(example(t, indexedJob))
	for _, document := range strings.Split(text, "\n---\n") {
		if err := decode(document); err != nil {
			t.Error(err)
		}
	}
	wrong := strings.Replace(text, "completions: 4", "completion: 4", 1)
	if err := decode(strings.Split(wrong, "\n---\n")[1]); err == nil {
		t.Error("a field that does not exist is not noticed")
	}
}

// decode reads an object of Kubernetes, and refuses a field that it does not have.
func decode(document string) error {
	if strings.Contains(document, "kind: Job") {
		return yaml.UnmarshalStrict([]byte(document), &batchv1.Job{})
	}
	return yaml.UnmarshalStrict([]byte(document), &corev1.PersistentVolumeClaim{})
}

// The parts that are asked for have to be all that there are.
func TestExamplesRunEveryPart(t *testing.T) {
	flow := string(example(t, workflow))
	for _, part := range []string{"1/4", "2/4", "3/4", "4/4"} {
		if !strings.Contains(flow, `"`+part+`"`) {
			t.Errorf("nobody runs part %s", part)
		}
	}
	var job batchv1.Job
	if err := yaml.Unmarshal([]byte(strings.Split(string(example(t, indexedJob)), "\n---\n")[1]), &job); err != nil {
		t.Fatal(err)
	}
	if script := job.Spec.Template.Spec.Containers[0].Args[0]; *job.Spec.Completions != 4 || !strings.Contains(script, "JOB_COMPLETION_INDEX + 1))/4") {
		t.Errorf("%d parts, of which each is chosen by %s", *job.Spec.Completions, script)
	}
}

func example(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
