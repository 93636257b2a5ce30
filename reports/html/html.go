// Package html renders a record as one offline HTML page: the verdict and a
// matrix of claims and topologies first, then every experiment with its timeline.
// The page loads nothing, works without JavaScript, and prints.
package html

import (
	"bufio"
	"embed"
	"fmt"
	"html/template"
	"io"

	"faultline/reports/internal/format"
	"faultline/reports/record"
)

var (
	//go:embed assets/*.gohtml
	sources embed.FS
	//go:embed assets/style.css
	style string
	//go:embed assets/script.js
	script string
	//go:embed assets/zoom.js
	zoom string

	page = template.Must(template.New("page.gohtml").Funcs(template.FuncMap{
		"style":     func() template.CSS { return template.CSS(style) },
		"script":    func() template.JS { return template.JS(script + zoom) },
		"sign":      sign,
		"ways":      func() []way { return ways },
		"seconds":   format.Seconds,
		"count":     format.Count,
		"sabotaged": format.Sabotaged,
		"machine":   format.Machine,
		"pressure":  format.Pressure,
		"date":      date,
	}).ParseFS(sources, "assets/*.gohtml"))
)

// Write writes the page of the run. Links to evidence expect it in the folder of
// the record.
func Write(w io.Writer, run *record.Run) error {
	out := bufio.NewWriterSize(w, 1<<16)
	if err := page.Execute(out, newOverview(run)); err != nil {
		return fmt.Errorf("render the HTML report: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the HTML report: %w", err)
	}
	return nil
}

// date is the wall time of a run's start, in a form that is the same everywhere.
func date(run *record.Run) string { return run.StartedAt.UTC().Format("2 January 2006, 15:04 UTC") }

// sign tells a verdict without colour.
func sign(v record.Verdict) string {
	switch v {
	case record.Held:
		return "✓"
	case record.Drifted:
		return "≈"
	case record.Broken:
		return "✗"
	case record.Untested:
		return "–"
	default:
		return "?"
	}
}
