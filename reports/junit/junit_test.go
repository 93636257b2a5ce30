package junit_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
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

func TestRealisticRun(t *testing.T) {
	p, text := render(t, fixture.Run())
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
	if f := broken.Failure; !strings.Contains(f.Message, "kept <n1> in its rotation") || !strings.Contains(f.Text, "repeat with: make chaos") {
		t.Errorf("got %+v", f)
	}
	// Readers of the older schema want properties before the result, and that before the output.
	if strings.Index(text, "<properties>") > strings.Index(text, "<error") || strings.Index(text, "<system-out>") < strings.Index(text, "<properties>") {
		t.Error("the elements of a case are out of order")
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
