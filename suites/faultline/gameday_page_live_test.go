package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"faultline/clusters"
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
	url := day.said(t, regexp.MustCompile(`live page: (\S+)`))
	tab, cancel := chromedp.NewContext(browser)
	defer cancel()
	do := func(actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(tab, actions...); err != nil {
			t.Fatalf("%v:\n%s", err, day.text())
		}
	}
	shows := func(id, words string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(tab, 2*time.Minute)
		defer cancel()
		err := clusters.Await(ctx, 100*time.Millisecond, "the page to show "+words, func(ctx context.Context) error {
			got, err := chromedp.Run(ctx, chromedp.Evaluate[string](fmt.Sprintf("document.getElementById(%q).innerText", id)))
			if err == nil && !regexp.MustCompile(words).MatchString(got) {
				err = fmt.Errorf("%s shows %q", id, got)
			}
			return err
		})
		if err != nil {
			t.Fatalf("%v:\n%s", err, day.text())
		}
	}
	do(chromedp.Navigate(url), chromedp.WaitEnabled(chromedp.CSS("#approve")))
	shows("experiment", "etcd")
	do(chromedp.Click(chromedp.CSS("#approve")))
	shows("phase", "holding")
	shows("clock", "Its undo is due in")
	shows("probes", "etcd error|timed out|not ready|refused")
	shows("components", "down")
	do(chromedp.SendKeys(chromedp.CSS("#text"), "seen from the page"+kb.Enter))
	shows("notes", "seen from the page")
	do(chromedp.Click(chromedp.CSS("#abort")))
	shows("aborted", "Abort was pressed on the page")
	day.end(t, record.OutcomeInconclusive.ExitStatus())
	account := day.account(t)
	for _, want := range []string{`Aborted: Abort was pressed on the page`, `seen from the page`, "are as before"} {
		if !strings.Contains(account, want) {
			t.Errorf("the day's account lacks %q:\n%s", want, account)
		}
	}
}
