package markdown_test

import (
	"bytes"
	"errors"
	"html"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"

	"faultline/reports/internal/fixture"
	"faultline/reports/markdown"
	"faultline/reports/record"
)

func render(t *testing.T, run *record.Run, limit int) string {
	t.Helper()
	var b bytes.Buffer
	if err := markdown.Write(&b, run, limit); err != nil {
		t.Fatal(err)
	}
	if b.Len() > limit || !utf8.Valid(b.Bytes()) {
		t.Fatalf("the summary has %d bytes of %d, valid: %t", b.Len(), limit, utf8.Valid(b.Bytes()))
	}
	return b.String()
}

func TestRealisticRun(t *testing.T) {
	run := fixture.Run()
	run.Environment.Seed = 42
	run.Skipped = []record.Skipped{{Name: "survives", Topology: "mirror", Reason: "no btrfs"}}
	run.Failures = []string{"boom"}
	run.Sabotaged = []record.Sabotaged{{Name: "lies"}}
	for i := range run.Experiments {
		run.Experiments[i].Pressure = &record.Pressure{CPU: 0.82}
	}
	page := render(t, run, markdown.Limit)
	if !strings.HasPrefix(page, "## Faultline: claim-broken\n") {
		t.Errorf("the verdict is not first in\n%s", page)
	}
	rest := page
	for _, part := range []string{ // in this order
		"15 experiments in 11m42s: 10 held, 2 drifted, 1 broken, 2 inconclusive; median recovery 5.50 s",
		"20 claims: 10 held, 2 drifted, 1 broken, 3 inconclusive, 4 untested", "1 sabotage run turned red, as it must", "Kubernetes v1.37.2", "seed 42",
		"**harness error**: boom",
		"#### broken: one API server of three may be lost unnoticed, on three-host-stacked",
		"- claim API-07: Two or more API servers", "expected writes resume within 3 s; observed writes failed for 21.4 s",
		"took 24.6 s, allowed at most 3.00 s", "had to wait for a CPU for 82 %", "```sh\nmake chaos GINKGO_FOCUS='one API server of three may be lost unnoticed'\n```",
		"#### inconclusive: a paused etcd",
		"| ETCD-03 | three-host-stacked | While the majority is lost", "only reads with resourceVersion=0 work",
		"| 24.6 s | at most 3.00 s | one API server of three", "| 810 ms | at most 30.0 s | a paused etcd",
		"4 of 20 claims had no experiment; 1 experiment left out", "- skipped: survives, on mirror: no btrfs",
	} {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Fatalf("%q is missing, or out of order, in\n%s", part, page)
		}
		rest = after
	}
	if strings.Contains(page, "Left out") {
		t.Error("a page with room left something out")
	}
}

func TestRunThatHeldHasNothingToActUpon(t *testing.T) {
	run := &record.Run{ID: "r", Claims: []record.Claim{{ID: "A"}},
		Experiments: []record.Experiment{{ID: "e", Name: "n", Claims: []string{"A"}, Verdict: record.Held}}}
	page := render(t, run, markdown.Limit)
	if !strings.HasPrefix(page, "## Faultline: held\n") || strings.Contains(page, "###") {
		t.Errorf("got\n%s", page)
	}
}

var leftOut = regexp.MustCompile(`\*\*Left out for size: (\d+) of (\d+)\.\*\*`)

func TestLargeRunIsCutHonestly(t *testing.T) {
	run := fixture.Large(6000, 1)
	for _, limit := range []int{3000, 100_000, markdown.Limit} {
		page := render(t, run, limit)
		if len(page) < limit*3/4 {
			t.Errorf("the page has %d bytes where %d are allowed", len(page), limit)
		}
		if !strings.HasPrefix(page, "## Faultline: claim-broken\n") {
			t.Error("the verdict was cut")
		}
		_, table, _ := strings.Cut(page, "### Recovery times")
		table, _, _ = strings.Cut(table, "###")
		shown := strings.Count(table, "\n| ") - 2 // without head and rule
		note := leftOut.FindStringSubmatch(table)
		if note == nil {
			t.Fatalf("nothing tells of what was left out in\n%s", table)
		}
		missing, _ := strconv.Atoi(note[1])
		total, _ := strconv.Atoi(note[2])
		if shown+missing != total || total != 5600 {
			t.Errorf("%d are shown and %d left out of %d", shown, missing, total)
		}
	}
	if err := markdown.Write(io.Discard, run, 100); err == nil || !strings.Contains(err.Error(), "100 bytes are too few") {
		t.Errorf("got %v", err)
	}
}

func TestLongTextIsCut(t *testing.T) {
	run := withTexts(strings.Repeat("long ", 1<<15))
	if page := render(t, run, markdown.Limit); !strings.Contains(page, "… (cut)") || !strings.Contains(page, "### Recovery times") {
		t.Error("one long text took the place of others")
	}
}

var hostile = []string{
	"a | b || c \\| d \\", "`code` ``` ```` ~~~\n```\n# out", "<script>alert(1)</script> <!-- </pre></details> &lt; &#124;",
	"# heading\n## another\n\n---\n===\n- item\n1. item\n> quote\n\n| a | b |\n|---|---|\n| 1 | 2 |", "**bold** _it_ ~~gone~~ [link](http://x) ![img](y) [x]: z",
	"\x1b[31m bell \a nul \x00 \xff \u0085 \u2028", "    indented\n\ttab\r\n\r\nreturn\r", "$x$ \\(y\\) @user #12 :tada: ##",
}

// Whatever a record says, the page has the same headings, rows and cells, no
// markup of others, and every word that was recorded.
func TestTextsOfTheRecordFormatNothing(t *testing.T) {
	want := structure(render(t, withTexts("plain\ntext"), markdown.Limit))
	if strings.Count(want, "TableCell") < 20 {
		t.Fatalf("the page is not understood: %s", want)
	}
	for _, bad := range hostile {
		page := render(t, withTexts(bad), markdown.Limit)
		if got := structure(page); got != want {
			t.Errorf("%q changes the page from\n%s\nto\n%s", bad, want, got)
		}
		words := strings.Join(strings.Fields(strings.ToValidUTF8(strings.NewReplacer("\x1b", " ", "\a", " ", "\x00", " ").Replace(bad), "\ufffd")), " ")
		shown := html.UnescapeString(rendered(t, page))
		if n := strings.Count(shown, "<td>"+words+"</td>"); n != 7 { // all cells of texts
			t.Errorf("%q is in %d cells of\n%s", words, n, shown)
		}
	}
}

var parser = goldmark.New(goldmark.WithExtensions(extension.Table, extension.Strikethrough, extension.TaskList))

// structure lists the kinds of the page's elements, but for its texts.
func structure(page string) string {
	var kinds []string
	document := parser.Parser().Parse(text.NewReader([]byte(page)))
	_ = ast.Walk(document, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if entering && n.Kind() != ast.KindText {
			kinds = append(kinds, n.Kind().String())
		}
		return ast.WalkContinue, nil
	})
	return strings.Join(kinds, " ")
}

func rendered(t *testing.T, page string) string {
	t.Helper()
	var b bytes.Buffer
	if err := parser.Convert([]byte(page), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// withTexts is a run with something in every section, that says the same everywhere.
func withTexts(s string) *record.Run {
	seconds := 1.5
	of := func(v record.Verdict) record.Experiment {
		return record.Experiment{ID: string(v), Name: s, Claims: []string{s}, Topology: s, Verdict: v, Reason: s, Drift: s, Command: s,
			Observations: []record.Observation{{Expected: s, Observed: s, Seconds: &seconds, Recovery: v == record.Drifted}}}
	}
	return &record.Run{ID: s, Refused: s, Failures: []string{s}, NotRestored: []string{s},
		Environment: record.Environment{Kubernetes: s, Etcd: s, Engine: s, Profile: s, FaultlineVersion: s},
		Claims:      []record.Claim{{ID: s, Statement: s}},
		Experiments: []record.Experiment{of(record.Broken), of(record.Inconclusive), of(record.Drifted)},
		Skipped:     []record.Skipped{{Name: s, Topology: s, Reason: s}}}
}

func TestWriteErrorIsReported(t *testing.T) {
	for name, write := range map[string]func(io.Writer) error{
		"summary":     func(w io.Writer) error { return markdown.Write(w, fixture.Run(), markdown.Limit) },
		"annotations": func(w io.Writer) error { return markdown.Annotations(w, fixture.Run()) },
	} {
		if err := write(failing{}); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestAnnotations(t *testing.T) {
	run := &record.Run{Refused: "no engine\nstart one", NotRestored: []string{"kill"}, Failures: []string{"100% lost"}, Experiments: []record.Experiment{
		{Name: "held", Verdict: record.Held}, {Name: "drifted", Verdict: record.Drifted},
		{Name: "a: b, c", Claims: []string{"A-1"}, Topology: "pair", Verdict: record.Broken, Reason: "why::error::x\r\nend", Command: "make chaos",
			Observations: []record.Observation{{Expected: "x", Observed: "y"}, {Expected: "fine", Observed: "fine", OK: true}}},
		{Name: "unclear", Topology: "pair", Verdict: record.Inconclusive, Reason: "starved"}}}
	var b bytes.Buffer
	if err := markdown.Annotations(&b, run); err != nil {
		t.Fatal(err)
	}
	want := `::error title=Faultline%3A the run was refused::no engine%0Astart one
::error title=Faultline%3A a fault is not restored::kill
::error title=Faultline%3A broken A-1%3A a%3A b%2C c::on pair%0Aexpected x; observed y%0Arepeat with: make chaos%0Awhy::error::x%0Aend
::warning title=Faultline%3A inconclusive%3A unclear::on pair%0Astarved
::error title=Faultline%3A the harness failed::100%25 lost
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// No text can end its command, or begin one: each stays on its line.
func TestAnnotationsStayOnTheirLines(t *testing.T) {
	for _, bad := range append(hostile, "\n::stop-commands::x\n::add-mask::y", "a,file=/etc/passwd::x") {
		var b bytes.Buffer
		if err := markdown.Annotations(&b, withTexts(bad)); err != nil {
			t.Fatal(err)
		}
		commands := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if len(commands) != 5 {
			t.Errorf("%q makes %d commands of 5", bad, len(commands))
		}
		for _, c := range commands {
			if !regexp.MustCompile(`^::(error|warning) title=[^:,]*::`).MatchString(c) {
				t.Errorf("%q makes %q", bad, c)
			}
		}
	}
}

func TestRunThatHeldHasNoAnnotations(t *testing.T) {
	var b bytes.Buffer
	if err := markdown.Annotations(&b, &record.Run{Experiments: []record.Experiment{{Verdict: record.Held}}}); err != nil || b.Len() > 0 {
		t.Errorf("got %q, %v", b.String(), err)
	}
}
