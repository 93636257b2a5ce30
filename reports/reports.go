// Package reports writes a record and its renderings into a folder.
package reports

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"faultline/reports/html"
	"faultline/reports/junit"
	"faultline/reports/markdown"
	"faultline/reports/prometheus"
	"faultline/reports/record"
)

// The files of a run.
const (
	RecordFile   = "record.json"
	SchemaFile   = "record.schema.json"
	SummaryFile  = "summary.json"
	JUnitFile    = "junit.xml"
	HTMLFile     = "report.html"
	MarkdownFile = "summary.md"
	MetricsFile  = "faultline.prom"
	// ComparisonFile is there where a run was compared with another one.
	ComparisonFile = "comparison.html"
)

// Write writes all files of the run into dir, the record first: it is the one
// from which the others can be made again. A file that fails keeps none of the
// others from being written.
func Write(dir string, run *record.Run) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of the reports: %w", err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	return errors.Join(
		run.Save(in(RecordFile)),
		record.WriteFile(in(SchemaFile), func(w io.Writer) error { _, err := io.WriteString(w, record.Schema); return err }),
		record.Summarise(run).Save(in(SummaryFile)),
		record.WriteFile(in(JUnitFile), func(w io.Writer) error { return junit.Write(w, run) }),
		record.WriteFile(in(HTMLFile), func(w io.Writer) error { return html.Write(w, run) }),
		record.WriteFile(in(MarkdownFile), func(w io.Writer) error { return markdown.Write(w, run, markdown.Limit) }),
		record.WriteFile(in(MetricsFile), func(w io.Writer) error { return prometheus.Write(w, run) }),
	)
}

// WriteComparison writes the page that compares two runs into dir, which has the files of
// the later one.
func WriteComparison(dir string, before, after *record.Run) error {
	return record.WriteFile(filepath.Join(dir, ComparisonFile), func(w io.Writer) error {
		return html.WriteComparison(w, before, after, HTMLFile)
	})
}
