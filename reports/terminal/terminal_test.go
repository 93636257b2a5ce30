package terminal

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"faultline/reports/internal/fixture"
	"faultline/reports/record"
)

func render(t *testing.T, run *record.Run, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, run, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRowForEachClaimAndExperiment(t *testing.T) {
	run := fixture.Run()
	want := 0
	for _, e := range run.Experiments {
		want += len(e.Claims)
	}
	rows := rowsOf(run)
	if len(rows) != want {
		t.Errorf("got %d rows, want %d", len(rows), want)
	}
	text := render(t, run, Options{Width: 140})
	for _, part := range []string{"CLAIM", "API-07", "x broken", "~ drifted", "+ held", "? inconclusive", "writes failed for 21.4 s", "24.6 s",
		"repeat: make chaos GINKGO_FOCUS=", "CLAIM-BROKEN  run 20261121", "15 experiments in 11m42s: 10 held, 2 drifted, 1 broken, 2 inconclusive; median recovery",
		"20 claims: 10 held, 2 drifted, 1 broken, 3 inconclusive, 4 untested"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in\n%s", part, text)
		}
	}
}

func TestSkippedExperimentsTellWhy(t *testing.T) {
	run := fixture.Run()
	run.Skipped = []record.Skipped{{Name: "survives", Topology: "mirror", Reason: "no btrfs"}}
	if text := render(t, run, Options{Width: 140}); !strings.Contains(text, "skipped: survives on mirror: no btrfs") {
		t.Errorf("the reason is missing in\n%s", text)
	}
}

func TestSabotageRunsAreCounted(t *testing.T) {
	run := fixture.Run()
	if text := render(t, run, Options{Width: 140}); strings.Contains(text, "sabotage") {
		t.Errorf("sabotage is told where there was none:\n%s", text)
	}
	run.Sabotaged = []record.Sabotaged{{Name: "lies", Seconds: 30}, {Name: "nobody evicts", Seconds: 11.5}}
	if text := render(t, run, Options{Width: 140}); !strings.Contains(text, "2 sabotage runs turned red, as they must, in 41.5 s") {
		t.Errorf("two sabotage runs are not told in\n%s", text)
	}
}

func TestTimeIsAccountedForWhereItIsKnown(t *testing.T) {
	run := fixture.Run()
	if text := render(t, run, Options{Width: 140}); strings.Contains(text, "waiting for Kubernetes") {
		t.Errorf("an account without figures in\n%s", text)
	}
	run.Experiments[0].Spent = &record.Spent{Cluster: 30, Steady: 2, Faults: 1, Waiting: 40, Restoring: 5, Audit: 1}
	run.Experiments[1].Spent = &record.Spent{Waiting: 20}
	want := "time: 60.0 s waiting for Kubernetes, 30.0 s clusters, 1.00 s faults, 2.00 s steady states, 6.00 s restoring and audits"
	if text := render(t, run, Options{Width: 140}); !strings.Contains(text, want) {
		t.Errorf("%q is missing in\n%s", want, text)
	}
}

func TestGateTellsWhatItFound(t *testing.T) {
	run := fixture.Run()
	run.Gate = &record.Gate{Enforced: true, Unreadable: []string{"x.json: is cut off"}, Findings: []record.Finding{
		{Rule: record.RuleClaims, Outcome: record.OutcomeClaimBroken, Text: "told with the experiment"},
		{Rule: record.RuleInconclusive, Outcome: record.OutcomeHeld, Text: "2 tolerated"},
		{Rule: record.RuleSkipped, Outcome: record.OutcomeInconclusive, Text: "1 skipped"},
		{Rule: record.RuleRegression, Outcome: record.OutcomeRegression, Text: "took 9 s"}}}
	run.Shards = []record.Shard{{Name: "s1", Environment: run.Environment}}
	text := render(t, run, Options{Width: 140})
	for _, part := range []string{"noted: 2 tolerated", "inconclusive: 1 skipped", "regression: took 9 s", "not in the history: x.json",
		"CLAIM-BROKEN", "merged from run s1: 2 cores, 23.0 GiB, docker 20.10.24, kernel 6.1.0-28-amd64, slack 1.5"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in\n%s", part, text)
		}
	}
	run.Gate.Enforced = false
	text = render(t, run, Options{Width: 140})
	if strings.Contains(text, "told with the experiment") || strings.Contains(text, "tolerated") || !strings.Contains(text, "noted: took 9 s") {
		t.Errorf("a gate that informs tells of regressions only:\n%s", text)
	}
}

func TestLinesFitTheWidth(t *testing.T) {
	run := fixture.Run()
	run.Experiments[3].Observations[0].Observed = strings.Repeat("word ", 80) + strings.Repeat("x", 200)
	for _, columns := range []int{48, 60, 89, 90, 120, 200} {
		for line := range strings.Lines(render(t, run, Options{Width: columns})) {
			line = strings.TrimRight(line, "\n")
			if width(line) > columns && !strings.HasPrefix(line, "  repeat: ") {
				t.Errorf("width %d: %d columns: %q", columns, width(line), line)
			}
		}
	}
}

func TestColorOnlyWhenAsked(t *testing.T) {
	if text := render(t, fixture.Run(), Options{}); strings.Contains(text, "\x1b") {
		t.Error("colours were written unasked")
	}
	for _, columns := range []int{60, 120} {
		colored := render(t, fixture.Run(), Options{Color: true, Width: columns})
		if !strings.Contains(colored, "\x1b[1;31mx broken\x1b[0m") {
			t.Error("a broken claim is not red")
		}
		stripped := regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(colored, "")
		if stripped != render(t, fixture.Run(), Options{Width: columns}) {
			t.Error("colours change the layout")
		}
	}
}

func TestOwnOutputIsASCII(t *testing.T) {
	for _, r := range render(t, fixture.Run(), Options{}) {
		if r > 0x7e {
			t.Fatalf("%q was written", r)
		}
	}
}

func TestControlCharactersOfTheRecordAreDropped(t *testing.T) {
	run := fixture.Run()
	run.Experiments[10].Reason = "owned \x1b]0;title\a\nby\tme \u009b31m"
	run.Experiments[10].Observations[0].Observed = "\x1b[2J"
	for _, r := range render(t, run, Options{}) {
		if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 {
			t.Fatalf("%q was written", r)
		}
	}
}

func TestInconclusiveRowTellsItsReason(t *testing.T) {
	e := record.Experiment{Name: "n", Verdict: record.Inconclusive, Reason: "the fault did not land",
		Observations: []record.Observation{{Expected: "writes fail", Observed: "they did not", OK: true}}}
	if r := rowOf(&e, "A"); r.observed != "the fault did not land" || r.expected != "writes fail" {
		t.Errorf("got %+v", r)
	}
	e.Observations = nil
	if r := rowOf(&e, "A"); r.expected != "n" {
		t.Errorf("got %+v", r)
	}
}

func TestRunWithoutExperiments(t *testing.T) {
	text := render(t, &record.Run{ID: "r", Refused: "no engine", NotRestored: []string{"kill etcd on n1"}, Failures: []string{"boom"}}, Options{})
	for _, part := range []string{"refused: no engine", "not restored: kill etcd on n1", "harness error: boom", "REFUSED  run r", "0 experiments in 0 s: none"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in\n%s", part, text)
		}
	}
	if strings.Contains(text, "CLAIM") {
		t.Error("an empty table was drawn")
	}
}

func TestDetect(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if got := Detect(f); got != (Options{}) {
		t.Errorf("a file is treated as a terminal: %+v", got)
	}
	for name, test := range map[string]struct {
		env  map[string]string
		want bool
	}{
		"a terminal": {map[string]string{"TERM": "xterm"}, true},
		"NO_COLOR":   {map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, false},
		"dumb":       {map[string]string{"TERM": "dumb"}, false},
	} {
		if got := wantsColor(func(k string) string { return test.env[k] }); got != test.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, test := range []struct {
		text  string
		limit int
		want  string
	}{
		{"", 5, ""}, {"a b", 5, "a b"}, {"one two", 4, "one|two"}, {"abcdefgh", 3, "abc|def|gh"}, {"a bcdefg h", 4, "a|bcde|fg h"}, {"äöü äöü", 3, "äöü|äöü"},
	} {
		if got := strings.Join(wrap(test.text, test.limit), "|"); got != test.want {
			t.Errorf("wrap(%q, %d) = %q, want %q", test.text, test.limit, got, test.want)
		}
	}
}

func TestWriteErrorIsReported(t *testing.T) {
	if err := Write(failing{}, fixture.Run(), Options{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
