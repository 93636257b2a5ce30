package main

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"faultline/reports/markdown"
	"faultline/reports/record"
	"faultline/suites/rundir"
)

// realRun is a real run, with an experiment of each of three verdicts.
func realRun(t *testing.T) *record.Run {
	t.Helper()
	run, err := record.Load(filepath.Join("..", "..", "reports", "record", "testdata", "earlier", "real-run.json"))
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func TestJobsPage(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	for _, test := range []struct {
		name, before, want string
	}{
		{"an empty page", "", "## Faultline: claim-broken\n"},
		{"a page with an open line", "built", "built\n\n## Faultline: claim-broken\n"},
		{"a page that is nearly full", strings.Repeat("x\n", (markdown.Limit-2000)/2), "**Left out for size: 1 of 1.**"},
	} {
		if err := os.WriteFile(page, []byte(test.before), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := summariseJob(page, realRun(t)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(page)
		if err != nil || len(got) > markdown.Limit || !strings.HasPrefix(string(got), test.before) || !strings.Contains(string(got), test.want) {
			t.Errorf("%s: %d bytes, %v: the end is %q", test.name, len(got), err, got[max(0, len(got)-500):])
		}
	}
}

func TestJobsPageThatCannotBeWritten(t *testing.T) {
	full := filepath.Join(t.TempDir(), "page.md")
	before := strings.Repeat("x", markdown.Limit-10)
	if err := os.WriteFile(full, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	for page, want := range map[string]string{full: "too few", filepath.Join(t.TempDir(), "none", "page.md"): "GITHUB_STEP_SUMMARY"} {
		if err := summariseJob(page, realRun(t)); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), page) {
			t.Errorf("got %v, want the path and %q", err, want)
		}
	}
	if got, _ := os.ReadFile(full); string(got) != before {
		t.Error("a page that is full was changed")
	}
	if err := summariseJob("", realRun(t)); err != nil {
		t.Errorf("without a page: %v", err)
	}
}

func TestAnnotationsOnlyOnGitHub(t *testing.T) {
	for value, want := range map[string]bool{"": false, "false": false, "true": true} {
		t.Setenv("GITHUB_ACTIONS", value)
		var out bytes.Buffer
		if err := annotateJob(&out, realRun(t)); err != nil {
			t.Fatal(err)
		}
		if got := strings.HasPrefix(out.String(), "::error title=Faultline%3A broken LEAD-05"); got != want {
			t.Errorf("GITHUB_ACTIONS=%q: annotations %t:\n%s", value, got, out.String())
		}
	}
}

// Nobody who listens, or fails to, changes what the run came to.
func TestAnnouncingChangesNoOutcome(t *testing.T) {
	received := 0
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { received++ }))
	defer collector.Close()
	for _, test := range []struct{ name, page, endpoint string }{
		{"nobody listens", "", ""},
		{"all listen", filepath.Join(t.TempDir(), "page.md"), collector.URL},
		{"none can hear", filepath.Join(t.TempDir(), "none", "page.md"), "http://127.0.0.1:1"},
	} {
		t.Setenv("GITHUB_STEP_SUMMARY", test.page)
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", test.endpoint)
		t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
		t.Setenv("GITHUB_ACTIONS", "") // not to annotate the job of this test
		dir := rundir.Dir{Run: "r", Results: t.TempDir()}
		if err := publish(t.Context(), dir, realRun(t)); !errors.Is(err, exitError(1)) {
			t.Errorf("%s: the run ends with %v, want %v", test.name, err, exitError(1))
		}
	}
	if received != 1 {
		t.Errorf("the collector got %d traces, want one", received)
	}
}
