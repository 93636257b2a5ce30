package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"faultline/reports/markdown"
	"faultline/reports/otel"
	"faultline/reports/record"
)

// announce tells the systems around the run of it, as far as the environment names
// them. That one does not listen changes nothing about the run: it is a warning.
func announce(ctx context.Context, run *record.Run) {
	err := errors.Join(
		summariseJob(os.Getenv("GITHUB_STEP_SUMMARY"), run),
		annotateJob(os.Stdout, run),
		otel.Export(ctx, run),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, "warning: not everybody was told of the run:", err)
	}
}

// summariseJob appends the Markdown summary to the page of a job of GitHub Actions.
// The page may hold what an earlier command of the same step wrote.
func summariseJob(page string, run *record.Run) error {
	if page == "" {
		return nil
	}
	file, err := os.OpenFile(page, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("the job's page (GITHUB_STEP_SUMMARY): %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("the job's page (GITHUB_STEP_SUMMARY): %w", err)
	}
	var summary bytes.Buffer
	if info.Size() > 0 {
		summary.WriteString("\n\n") // ends what was left open
	}
	if err := markdown.Write(&summary, run, max(0, markdown.Limit-int(info.Size())-summary.Len())); err != nil {
		return fmt.Errorf("the job's page %s has %d bytes already: %w", page, info.Size(), err)
	}
	if _, err := summary.WriteTo(file); err != nil {
		return fmt.Errorf("the job's page (GITHUB_STEP_SUMMARY): %w", err)
	}
	return nil
}

// annotateJob prints annotations where GitHub Actions reads what is printed.
func annotateJob(out io.Writer, run *record.Run) error {
	if os.Getenv("GITHUB_ACTIONS") != "true" {
		return nil
	}
	return markdown.Annotations(out, run)
}
