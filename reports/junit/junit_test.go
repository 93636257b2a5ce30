package junit_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"faultline/reports/internal/fixture"
	"faultline/reports/junit"
	"faultline/reports/record"
)

type parsed struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
	Suites   []struct {
		Name       string     `xml:"name,attr"`
		Tests      int        `xml:"tests,attr"`
		Properties []property `xml:"properties>property"`
		Cases      []struct {
			Name       string     `xml:"name,attr"`
			Time       float64    `xml:"time,attr"`
			Properties []property `xml:"properties>property"`
			Failure    *problem   `xml:"failure"`
			Error      *problem   `xml:"error"`
			Skipped    *problem   `xml:"skipped"`
			Out        string     `xml:"system-out"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

type property struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type problem struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

func render(t *testing.T, run *record.Run) (parsed, string) {
	t.Helper()
	var b bytes.Buffer
	if err := junit.Write(&b, run); err != nil {
		t.Fatal(err)
	}
	if !utf8.Valid(b.Bytes()) {
		t.Fatal("the report is not UTF-8")
	}
	var p parsed
	if err := xml.Unmarshal(b.Bytes(), &p); err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	return p, b.String()
}

func TestGateFindingsAreCases(t *testing.T) {
	run := fixture.Run()
	run.Gate = &record.Gate{Enforced: true, Findings: []record.Finding{
		{Rule: record.RuleClaims, Outcome: record.OutcomeClaimBroken, Text: "an experiment tells"},
		{Rule: record.RuleInconclusive, Outcome: record.OutcomeHeld, Text: "tolerated"},
		{Rule: record.RuleSkipped, Outcome: record.OutcomeInconclusive, Text: "1 skipped"},
		{Rule: record.RuleRegression, Outcome: record.OutcomeRegression, Text: "took 9 s"}}}
	before, _ := render(t, fixture.Run())
	p, _ := render(t, run)
	if p.Failures != before.Failures+1 || p.Errors != before.Errors+1 || p.Suites[0].Name != "faultline.gate" || len(p.Suites[0].Cases) != 2 {
		t.Fatalf("got %+v", p.Suites[0])
	}
	if c := p.Suites[0].Cases[1]; c.Failure == nil || c.Failure.Message != "took 9 s" || c.Failure.Type != "regression" {
		t.Errorf("got %+v", c)
	}
	run.Gate.Enforced = false
	if p, _ := render(t, run); p.Failures != before.Failures || p.Errors != before.Errors {
		t.Error("a gate that informs fails a case")
	}
}

func TestRealisticRun(t *testing.T) {
	run := fixture.Run()
	for i := range run.Experiments {
		run.Experiments[i].Pressure = &record.Pressure{CPU: 0.82}
	}
	p, text := render(t, run)
	if p.Tests != 15 || p.Failures != 1 || p.Errors != 2 || len(p.Suites) != 2 {
		t.Fatalf("got %d tests, %d failures, %d errors in %d suites", p.Tests, p.Failures, p.Errors, len(p.Suites))
	}
	if s := p.Suites[1]; s.Name != "faultline.three-host-stacked" || s.Tests != 9 || value(s.Properties, "kubernetes") != "v1.37.2" {
		t.Errorf("got suite %s with %d tests and %v", s.Name, s.Tests, s.Properties)
	}
	for _, s := range p.Suites {
		for _, c := range s.Cases {
			verdict := value(c.Properties, "verdict")
			if (c.Failure != nil) != (verdict == "broken") || (c.Error != nil) != (verdict == "inconclusive") {
				t.Errorf("%s is %s: failure %v, error %v", c.Name, verdict, c.Failure, c.Error)
			}
			if c.Time <= 0 || !strings.Contains(c.Out, "expected ") {
				t.Errorf("%s: time %g, output %q", c.Name, c.Time, c.Out)
			}
		}
	}
	broken := p.Suites[1].Cases[4]
	if broken.Name != "[API-07] one API server of three may be lost unnoticed" || value(broken.Properties, "recovery-seconds") != "24.600" ||
		value(broken.Properties, "upper-bound-seconds: everything answers again") != "3.000" {
		t.Errorf("got %q with %v", broken.Name, broken.Properties)
	}
	if f := broken.Failure; !strings.Contains(f.Message, "kept <n1> in its rotation") || !strings.Contains(f.Text, "had to wait for a CPU for 82 %") || !strings.Contains(f.Text, "repeat with: make chaos") {
		t.Errorf("got %+v", f)
	}
	if got := value(broken.Properties, "api-ready-seconds: after undo of stop kube-apiserver on n1"); got != "19.780" {
		t.Errorf("the API was ready after %q s", got)
	}
	// Readers of the older schema want properties before the result, and that before the output.
	if strings.Index(text, "<properties>") > strings.Index(text, "<error") || strings.Index(text, "<system-out>") < strings.Index(text, "<properties>") {
		t.Error("the elements of a case are out of order")
	}
}

// Many readers keep one value a name, and a case may measure the same twice: each
// has a name of its own.
func TestMeasurementsAreKeptApart(t *testing.T) {
	seconds, again, upper := 1.5, 2.25, 30.0
	p, _ := render(t, &record.Run{Environment: record.Environment{Seed: 42}, Experiments: []record.Experiment{{
		ID: "e1", Claims: []string{"A-1", "A-2"}, Topology: "pair", Verdict: record.Held, Command: "make chaos GINKGO_FOCUS='x'",
		Observations: []record.Observation{
			{Expected: "resume write", Seconds: &seconds, Lower: &seconds}, {Expected: "no duration"},
			{Expected: "resume write", Seconds: &again, Upper: &upper, Recovery: true}},
		Recoveries: []record.Recovery{
			{After: "kill etcd", Phases: []record.Phase{{Name: "landed", Seconds: 0.5}, {Name: "api-ready", Seconds: 1.5}}},
			{After: "kill etcd", Phases: []record.Phase{{Name: "landed", Seconds: 0.75}}}},
		Probes: []record.Probe{{Name: "write", Vantage: "n1", LongestOut: 0.25}},
	}}})
	want := []property{{"experiment", "e1"}, {"verdict", "held"}, {"topology", "pair"}, {"claim", "A-1"}, {"claim", "A-2"},
		{"command", "make chaos GINKGO_FOCUS='x'"}, {"recovery-seconds", "2.250"}, {"seconds: resume write", "1.500"},
		{"lower-bound-seconds: resume write", "1.500"},
		{"seconds: resume write (2)", "2.250"}, {"upper-bound-seconds: resume write (2)", "30.000"},
		{"landed-seconds: after kill etcd", "0.500"}, {"api-ready-seconds: after kill etcd", "1.500"},
		{"landed-seconds: after kill etcd (2)", "0.750"}, {"longest-out-seconds: write at n1", "0.250"}}
	if got := p.Suites[0].Cases[0].Properties; !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if got := value(p.Suites[0].Properties, "seed"); got != "42" {
		t.Errorf("the seed is %q", got)
	}
}

func value(all []property, name string) string {
	for _, p := range all {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

func TestHarnessProblemsAreErrors(t *testing.T) {
	p, _ := render(t, &record.Run{Refused: "no engine\nstart one", Failures: []string{"a"}, NotRestored: []string{"b", "c"}})
	if p.Tests != 4 || p.Errors != 4 || p.Suites[0].Cases[0].Error.Message != "no engine" || p.Suites[0].Cases[0].Error.Type != "refused" {
		t.Errorf("got %+v", p)
	}
}

func TestSkippedExperimentsTellWhy(t *testing.T) {
	p, _ := render(t, &record.Run{Skipped: []record.Skipped{{Name: "survives", Topology: "mirror", Reason: "no btrfs"}}})
	if c := p.Suites[0].Cases[0]; p.Tests != 1 || p.Errors != 0 || c.Skipped == nil || c.Skipped.Message != "no btrfs" {
		t.Errorf("got %+v", p)
	}
}

func TestSabotageRunsAreCases(t *testing.T) {
	p, _ := render(t, &record.Run{Sabotaged: []record.Sabotaged{{Name: "the undo does nothing", Topology: "single", Seconds: 41}}})
	if c := p.Suites[0].Cases[0]; p.Tests != 1 || p.Errors+p.Failures != 0 || c.Skipped != nil || c.Name != "the undo does nothing" {
		t.Errorf("got %+v", p)
	}
}

func TestForbiddenCharactersAreReplaced(t *testing.T) {
	run := fixture.Run()
	run.Experiments[0].Name = "bell \a escape \x1b[31m \xff </testcase> ]]>"
	run.Experiments[0].Observations[0].Observed = "nul \x00 \ufffe"
	p, text := render(t, run)
	if strings.ContainsAny(text, "\a\x00\x1b\ufffe") {
		t.Error("characters that XML forbids were written")
	}
	if !strings.Contains(p.Suites[0].Cases[0].Name, "</testcase> ]]>") {
		t.Errorf("markup was lost: %q", p.Suites[0].Cases[0].Name)
	}
}

func TestWriteErrorIsReported(t *testing.T) {
	if err := junit.Write(failing{}, fixture.Run()); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
