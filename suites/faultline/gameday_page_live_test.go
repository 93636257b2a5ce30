package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"faultline/reports/browsertest"
	"faultline/reports/record"
)

// pageGameday leads a day from its page, in a browser, while a cluster without a quorum has no
// API.
func pageGameday(t *testing.T, kubeconfig, name string) {
	browser := browsertest.Start(t)
	variables := gamedayVariables(t, kubeconfig, name, "etcd-majority")
	start(t, "gameday-plan", variables...).end(t, 0)
	day := start(t, "gameday", variables...)
	day.typing(t, "Type yes", "yes")
	p := browsertest.Open(browser, t, day.said(t, regexp.MustCompile(`live page: (\S+)`)), 1280, 800)
	p.Wait("contact", "Live")
	p.WaitFor(time.Minute, "experiment", "etcd")
	p.Click("approve")
	p.WaitFor(2*time.Minute, "phase", "holding")
	p.Wait("clock", "Its undo is due in")
	p.Wait("components", "✕ down")
	if !browsertest.Within(browsertest.Patience, func() bool { return browsertest.Eval[int](p, `document.querySelectorAll("#probes .bad").length`) > 0 }) {
		t.Errorf("no probe is shown to fail: %s", p.Shown("probes"))
	}
	p.Do(chromedp.SendKeys(chromedp.CSS("#text"), "seen from the page"+kb.Enter))
	p.Wait("notes", "seen from the page")
	p.Click("abort")
	p.Wait("aborted", "Abort was pressed on the page")
	p.Quiet(4)
	day.end(t, record.OutcomeInconclusive.ExitStatus())
	account := day.account(t)
	for _, want := range []string{`Aborted: Abort was pressed on the page`, `seen from the page`, "are as before"} {
		if !strings.Contains(account, want) {
			t.Errorf("the day's account lacks %q:\n%s", want, account)
		}
	}
}
