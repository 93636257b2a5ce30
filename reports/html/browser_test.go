package html_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"faultline/reports/browsertest"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// openPage opens a page in a tab of the size.
func openPage(ctx context.Context, t *testing.T, page string, width, height int64, options ...chromedp.Action[chromedp.Void]) *browsertest.Tab {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	return browsertest.Open(ctx, t, "file://"+path, width, height, options...)
}

// press presses keys, one after the other.
func press(p *browsertest.Tab, keys ...string) {
	p.T.Helper()
	for _, key := range keys {
		p.Do(chromedp.KeyEvent(key))
	}
}

// dark asks the page for its dark colours, light for the others, paper for print.
func dark() chromedp.Action[chromedp.Void]  { return browsertest.Media("", "dark") }
func light() chromedp.Action[chromedp.Void] { return browsertest.Media("", "light") }
func paper() chromedp.Action[chromedp.Void] { return browsertest.Media("print", "dark") }

// withoutScripts keeps the page from running any.
func withoutScripts(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
	_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	return chromedp.Void{}, err
}
