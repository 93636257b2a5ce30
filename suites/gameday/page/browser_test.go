package page

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"faultline/reports/browsertest"
)

// open opens the day's page in a tab of the width, and waits until it is live.
func (d *day) open(ctx context.Context, width int64) *browsertest.Tab {
	d.t.Helper()
	p := browsertest.Open(ctx, d.t, d.server.URL(), width, 800)
	p.Wait(`contact`, "Live")
	return p
}

// waitFor waits until the people's actions are the ones that are wanted.
func (d *day) waitFor(want ...string) {
	d.t.Helper()
	if !browsertest.Within(browsertest.Patience, func() bool { return slices.Equal(d.calls(), want) }) {
		d.t.Fatalf("done was %q, want %q", d.calls(), want)
	}
}

// reportsScript is a script of the report's tests.
func reportsScript(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "reports", "html", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
