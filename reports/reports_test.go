package reports_test

import (
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"faultline/reports"
	"faultline/reports/internal/fixture"
	"faultline/reports/record"
	"faultline/reports/terminal"
)

func TestWriteMakesEveryFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "artifacts", "run")
	for range 2 { // a second time replaces the first
		if err := reports.Write(dir, fixture.Run()); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 7 {
		t.Fatalf("got %v, %v", entries, err)
	}
	if _, err := record.Load(filepath.Join(dir, reports.RecordFile)); err != nil {
		t.Error(err)
	}
}

func TestOneFailureKeepsNoOtherFile(t *testing.T) {
	dir := t.TempDir()
	blocked := filepath.Join(dir, reports.SummaryFile)
	if err := os.MkdirAll(filepath.Join(blocked, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := reports.Write(dir, fixture.Run()); err == nil || !strings.Contains(err.Error(), blocked) {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{reports.RecordFile, reports.JUnitFile, reports.HTMLFile, reports.MarkdownFile, reports.MetricsFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// What earlier versions recorded is rendered by every version after them.
func TestEarlierRecordsRender(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("record", "testdata", "earlier", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the earlier records are gone: %v, %v", files, err)
	}
	for _, file := range files {
		run, err := record.Load(file)
		if err != nil {
			t.Error(err)
			continue
		}
		if err := errors.Join(reports.Write(t.TempDir(), run), terminal.Write(io.Discard, run, terminal.Options{})); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Reports must stay usable without a cluster or a test framework.
func TestImports(t *testing.T) {
	libraries := []string{"faultline/reports", "golang.org/x/term", "sigs.k8s.io/yaml", "go.yaml.in/yaml/v3", "github.com/chromedp/",
		"github.com/invopop/jsonschema", "github.com/santhosh-tekuri/jsonschema", "github.com/prometheus/", "github.com/yuin/goldmark", "go.opentelemetry.io/", "google.golang.org/protobuf"}
	allowed := func(path string) bool {
		if !strings.Contains(path, ".") && !strings.HasPrefix(path, "faultline/") {
			return true
		}
		return slices.ContainsFunc(libraries, func(l string) bool { return strings.HasPrefix(path, l) })
	}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range file.Imports {
			if name, _ := strconv.Unquote(i.Path.Value); !allowed(name) {
				t.Errorf("%s imports %s", path, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
