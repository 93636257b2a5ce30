package page

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"faultline/reports/browsertest"
)

// The page is used in a real browser: with a mouse, with keys, on a phone, in the dark, and
// while its server goes away.
func TestInBrowser(t *testing.T) {
	browser := browsertest.Start(t)
	for name, test := range map[string]func(context.Context, *day){
		"shows the snapshot":                      testShows,
		"approve and skip":                        testDecide,
		"decisions only in time":                  testUndecidable,
		"abort":                                   testAbort,
		"notes are text":                          testNotes,
		"errors are shown":                        testErrors,
		"the clock counts":                        testClock,
		"a server that is closed comes back":      testContact,
		"a server that is silent":                 testSilence,
		"the end of the day":                      testOver,
		"what cannot be told":                     testUntold,
		"hidden pages leave the connection alone": testHidden,
		"keys":     testKeys,
		"phone":    testPhone,
		"contrast": testContrast,
	} {
		t.Run(name, func(t *testing.T) { test(browser, startDay(t)) })
	}
}

func testShows(browser context.Context, d *day) {
	p := d.open(browser, 1280)
	for id, texts := range map[string][]string{
		"cluster": {"staging"}, "server": {"https://10.0.0.1:6443"}, "phase": {"waiting"}, "message": {"Waiting for approval of the second experiment."},
		"number":     {"2 of 3"},
		"experiment": {"Lose the leader of etcd", "stop etcd", "etcd on n1, etcd on n2", "Writes fail for two seconds.", "Nothing yet.", "start etcd"},
		"probes":     {"write load-balancer", "up", "12.5 % failed", "p50 12 ms", "consistent-read n1", "timed out", "100 % failed", "p50 –", "watch n2", "no sample", "60 s ago"},
		"legend":     {"refused", "timed out", "etcd error", "not ready", "pending", "other", "starved"},
		"components": {"kube-apiserver", "etcd", "n1", "n2", "● up", "✕ down", "? unknown", "leads"},
		"conditions": {"failed writes", "12.5 %", "50 %", "not met", "longest outage", "70 s", "60 s", "met: abort"},
		"notes":      {"We begin."},
		"done":       {"✓ Stop a scheduler: as predicted", "✕ Stop an API server: requests failed for 9 s"},
		"aborted":    {""}, "trouble": {""}, "untold": {""}, "clock": {""},
	} {
		p.Wait(id, texts...)
	}
	if leads := browsertest.Eval[string](p, `document.querySelector(".leads").closest("tr").innerText`); !strings.HasPrefix(leads, "etcd") {
		d.t.Errorf("the leader is in %q", leads)
	}
	if title := browsertest.Eval[string](p, `document.title`); title != "waiting · staging · Faultline game day" {
		d.t.Errorf("the title is %q", title)
	}
	testStrip(p)

	d.change(func(s *Snapshot) { s.Aborted, s.Experiment, s.Components, s.Probes = "customers called", nil, nil, nil })
	p.Wait("aborted", "Aborted: customers called")
	p.Wait("experiment", "No experiment yet.")
	p.Wait("components", "No components yet.")
	p.Wait("probes", "No probes yet.")
	p.Quiet(4)
}

// A strip shows its spans where they were, each way in another pattern, and says them.
func testStrip(p *browsertest.Tab) {
	spans := browsertest.Eval[[]string](p, `[...document.querySelectorAll(".strip")[0].children].map((e) =>
		e.className + " " + e.textContent + " " + Math.round(parseFloat(e.style.left)) + "+" + Math.round(parseFloat(e.style.width)))`)
	want := []string{"way up  0+20", "way refused R 20+8", "way timed-out T 28+8", "way etcd-error E 37+8", "way not-ready N 45+8", "way pending P 53+8",
		"way other ? 62+8", "way starved S 70+8", "way other ? 78+8", "way up  87+13"}
	if !slices.Equal(spans, want) {
		p.T.Errorf("the strip is %q, want %q", spans, want)
	}
	if whole := browsertest.Eval[string](p, `(({ left, width }) => left + " " + width)(document.querySelectorAll(".strip")[1].firstChild.style)`); whole != "0% 100%" {
		p.T.Errorf("a span that is longer than the window is at %s", whole)
	}
	label := browsertest.Eval[string](p, `document.querySelector(".strip").getAttribute("aria-label")`)
	if !strings.HasPrefix(label, "The last 60 seconds: up for 12 s, then refused for 5 s, then timed out") {
		p.T.Errorf("the strip says %q", label)
	}
	looks := browsertest.Eval[[]string](p, `[...document.querySelectorAll(".legend .way")].map((e) => { const s = getComputedStyle(e); return s.backgroundColor + s.backgroundImage; })`)
	slices.Sort(looks)
	if all := len(looks); all != 8 || len(slices.Compact(looks)) != all {
		p.T.Errorf("two ways look the same: %q", looks)
	}
}

func testDecide(browser context.Context, d *day) {
	p := d.open(browser, 1280)
	p.Click("approve")
	d.waitFor("approve lose-leader")
	d.change(func(s *Snapshot) { s.Phase = Breaking })
	p.Wait("phase", "breaking")
	d.change(func(s *Snapshot) { s.Phase, s.Experiment.ID, s.Experiment.Number = Waiting, `third "one"`, 3 })
	p.Wait("number", "3 of 3")
	p.Click("skip")
	d.waitFor("approve lose-leader", `skip third "one"`)
	p.Quiet(4)
}

// Nothing can be decided when nothing waits, just after another experiment came up, and twice
// in a row.
func testUndecidable(browser context.Context, d *day) {
	p := d.open(browser, 1280)
	const disabled = `approve.disabled && skip.disabled`
	for _, phase := range []Phase{Preparing, Breaking, Holding, Undoing, Healing, Over} {
		d.change(func(s *Snapshot) { s.Phase = phase })
		p.Wait("phase", string(phase))
		if !browsertest.Eval[bool](p, disabled) {
			d.t.Errorf("in the phase %s there is something to decide", phase)
		}
	}
	d.change(func(s *Snapshot) { s.Phase, s.Experiment = Waiting, nil })
	p.Wait("phase", "waiting")
	if !browsertest.Eval[bool](p, disabled) {
		d.t.Error("no experiment can be approved")
	}

	browsertest.Eval[chromedp.Void](p, `window.early = [], new MutationObserver(() => early.push(`+disabled+`)).observe(number, { childList: true })`)
	d.change(func(s *Snapshot) { s.Experiment = example().Experiment })
	p.Wait("number", "2 of 3")
	p.Click("approve")
	if early := browsertest.Eval[[]bool](p, `early`); len(early) == 0 || !early[0] {
		d.t.Errorf("an experiment can be approved before it can be read: %v", early)
	}
	d.waitFor("approve lose-leader")
	if !browsertest.Eval[bool](p, disabled) {
		d.t.Error("an experiment can be approved twice")
	}
	p.Click("approve") // it still waits after a while
	d.waitFor("approve lose-leader", "approve lose-leader")
	p.Quiet(4)
}

// Abort asks nothing, and is in sight wherever people have scrolled to.
func testAbort(browser context.Context, d *day) {
	p := d.open(browser, 360)
	browsertest.Eval[chromedp.Void](p, `scrollTo(0, document.documentElement.scrollHeight)`)
	if top := browsertest.Eval[float64](p, `scrollY > 100 ? abort.getBoundingClientRect().top : -1`); top < 0 || top > 200 {
		d.t.Errorf("abort is at %g", top)
	}
	if label := p.Shown("abort"); label != "Abort: undo everything now" {
		d.t.Errorf("the button says %q", label)
	}
	p.Click("abort")
	d.waitFor("abort: Abort was pressed on the page")
	p.Quiet(4)
}

func testNotes(browser context.Context, d *day) {
	p := d.open(browser, 1280)
	const evil = `<script>document.title = "taken"</script><img src=x onerror="document.title = 'taken'">`
	p.Do(chromedp.SendKeys(chromedp.CSS("#text"), evil+kb.Enter))
	d.waitFor("note: " + evil)
	p.Wait("notes", evil, "We begin.")
	if made := browsertest.Eval[int](p, `document.querySelectorAll("main script, main img").length`); made > 0 {
		d.t.Errorf("a note became %d elements", made)
	}
	if title := browsertest.Eval[string](p, `document.title`); strings.Contains(title, "taken") {
		d.t.Error("a note was run")
	}
	if first := browsertest.Eval[string](p, `notes.firstChild.textContent`); !strings.Contains(first, evil) {
		d.t.Errorf("the newest note is not the first: %q", first)
	}
	if left := browsertest.Eval[string](p, `text.value`); left != "" {
		d.t.Errorf("the input still holds %q", left)
	}

	// Every other text of a snapshot, too.
	d.change(func(s *Snapshot) {
		s.Cluster, s.Message, s.Aborted, s.Experiment.Name, s.Probes[0].Name, s.Done[0].Name = evil, evil, evil, evil, evil, evil
		s.Components[0].State, s.Conditions[0].Value, s.Probes[0].Way = evil, evil, evil
	})
	for _, id := range []string{"cluster", "message", "aborted", "experiment", "probes", "done", "components", "conditions"} {
		p.Wait(id, evil)
	}
	if made := browsertest.Eval[int](p, `document.querySelectorAll("body script, img").length`); made > 0 {
		d.t.Errorf("a snapshot became %d elements", made)
	}
	p.Quiet(4)
}

// What was refused is shown, and can be tried again.
func testErrors(browser context.Context, d *day) {
	p := d.open(browser, 1280)
	d.refuse(errors.New("somebody else skipped it"))
	p.Click("approve")
	p.Wait("trouble", "Approve: somebody else skipped it")
	p.Click("skip")
	p.Wait("trouble", "Skip: somebody else skipped it")
	p.Do(chromedp.SendKeys(chromedp.CSS("#text"), "seen"+kb.Enter))
	p.Wait("trouble", "Add note: somebody else skipped it")
	if left := browsertest.Eval[string](p, `text.value`); left != "seen" {
		d.t.Errorf("a note that was not taken is lost: %q", left)
	}
	d.refuse(nil)
	p.Click("approve")
	d.waitFor("approve lose-leader")
	if !browsertest.Within(10*time.Second, func() bool { return p.Shown("trouble") == "" }) {
		d.t.Error("old trouble stays")
	}
}

// The clock counts between snapshots, on the server's time.
func testClock(browser context.Context, d *day) {
	p := d.open(browser, 1280)
	d.change(func(s *Snapshot) {
		s.Phase, s.Experiment.Since, s.Experiment.Until = Holding, time.Now().Add(-5*time.Second), time.Now().Add(100*time.Second)
	})
	p.Wait("clock", "The fault landed at ", "0:0", " ago.", "Its undo is due in 1:3")
	d.mu.Lock() // no snapshot can be taken
	before := p.Shown("clock")
	counts := browsertest.Within(5*time.Second, func() bool { return p.Shown("clock") != before })
	d.mu.Unlock()
	if !counts {
		d.t.Errorf("between snapshots the clock stands still: %q", before)
	}
	d.change(func(s *Snapshot) { s.Experiment.Until = time.Now().Add(-61 * time.Second) })
	p.Wait("clock", "Its undo was due 1:0")
	d.change(func(s *Snapshot) { s.Phase = Undoing })
	p.Wait("phase", "undoing")
	if text := p.Shown("clock"); strings.Contains(text, "due") {
		d.t.Errorf("while it is being undone: %q", text)
	}
	p.Quiet(4)
}

// A page whose server ends says so, and goes on when there is one again.
func testContact(browser context.Context, d *day) {
	p := d.open(browser, 1280)
	p.Do(chromedp.WaitEnabled(chromedp.CSS("#approve")))
	const place = `(({ x, y }) => x + " " + y)(abort.getBoundingClientRect())`
	before := browsertest.Eval[string](p, place)
	address, token := d.server.listener.Addr().String(), d.server.token
	if err := d.server.Close(); err != nil {
		d.t.Fatal(err)
	}
	p.Wait("contact", "Contact lost at ", "what you see is old")
	if !browsertest.Eval[bool](p, `approve.disabled && skip.disabled && !abort.disabled`) {
		d.t.Error("without contact an experiment can be approved, or abort cannot be pressed")
	}
	if after := browsertest.Eval[string](p, place); after != before {
		d.t.Errorf("abort has moved from %s to %s", before, after)
	}
	p.Click("abort")
	p.Wait("trouble", "Abort did not reach the game day")
	headed(p)

	d.change(func(s *Snapshot) { s.Message = "We go on." })
	again, err := serve(address, token, d.Snapshot, d)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { again.Close() })
	p.Wait("contact", "Live")
	p.Wait("message", "We go on.")
	p.Click("abort")
	d.waitFor("abort: Abort was pressed on the page")
	p.Click("approve")
	d.waitFor("abort: Abort was pressed on the page", "approve lose-leader")

	// A server of another day refuses the token, and browsers give a refused stream up.
	again.Close()
	p.Wait("contact", "Contact lost at ")
	other, err := serve(address, "another", d.Snapshot, d)
	if err != nil {
		d.t.Fatal(err)
	}
	if !browsertest.Within(10*time.Second, func() bool { return refused(p) }) {
		d.t.Error("the page does not ask the other day's server")
	}
	other.Close()
	last, err := serve(address, token, d.Snapshot, d)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { last.Close() })
	p.Wait("contact", "Live")
}

// headed fails the test when the header, which stays in sight, covers the page.
func headed(p *browsertest.Tab) {
	p.T.Helper()
	if height := browsertest.Eval[float64](p, `document.querySelector("header").offsetHeight`); height > 250 {
		p.T.Errorf("the header is %g px high", height)
	}
}

// refused tells whether the browser noticed an answer 403.
func refused(p *browsertest.Tab) bool {
	return slices.ContainsFunc(p.Complaints(), func(c string) bool { return strings.Contains(c, "403") })
}

// A stream that is open and tells nothing is not contact.
func testSilence(browser context.Context, d *day) {
	p := d.open(browser, 1280)
	d.mu.Lock() // no snapshot can be taken
	lost := browsertest.Within(browsertest.Patience, func() bool { return strings.Contains(p.Shown("contact"), "Contact lost") })
	d.mu.Unlock()
	if !lost {
		d.t.Error("a silent server counts as contact")
	}
	p.Wait("contact", "Live")
	p.Quiet(4)
}

// After the day nobody is alarmed that its server ends.
func testOver(browser context.Context, d *day) {
	d.change(func(s *Snapshot) { s.Phase = Over })
	p := d.open(browser, 1280)
	d.server.Close()
	p.Wait("contact", "The day is over, and so is contact.")
}

func testUntold(browser context.Context, d *day) {
	p := d.open(browser, 1280)
	d.change(func(s *Snapshot) { s.Probes[0].P50 = math.NaN() })
	p.Wait("untold", "The game day cannot tell its state: ", "NaN")
	p.Wait("contact", "Contact lost")
	d.change(func(s *Snapshot) { s.Probes[0].P50 = 1 })
	p.Wait("contact", "Live")
	if text := p.Shown("untold"); text != "" {
		d.t.Errorf("it can be told again, and the page says %q", text)
	}
	p.Quiet(4)
}

// Six pages take all connections that a browser opens to a server. Those that are hidden let
// go of theirs, so that another one can abort.
func testHidden(browser context.Context, d *day) {
	hide := func(p *browsertest.Tab, hidden bool) {
		browsertest.Eval[chromedp.Void](p, fmt.Sprintf(`Object.defineProperty(document, "hidden", { value: %t, configurable: true }), document.dispatchEvent(new Event("visibilitychange"))`, hidden))
	}
	var pages []*browsertest.Tab
	for range 7 {
		p := d.open(browser, 800)
		hide(p, true)
		p.Wait("contact", "Paused")
		pages = append(pages, p)
	}
	pages[6].Click("abort")
	d.waitFor("abort: Abort was pressed on the page")
	hide(pages[0], false)
	pages[0].Wait("contact", "Live")
	pages[0].Quiet(4)
}

// The tab key reaches everything that can be used and shows where it is; keys press buttons.
func testKeys(browser context.Context, d *day) {
	p := d.open(browser, 1280)
	p.Do(chromedp.WaitEnabled(chromedp.CSS("#approve")))
	var reached, dull []string
	for range 7 {
		p.Do(chromedp.KeyEvent(kb.Tab))
		reached = append(reached, browsertest.Eval[string](p, `document.activeElement.id || document.activeElement.className || document.activeElement.textContent`))
		if !browsertest.Eval[bool](p, `(({ outlineStyle, outlineWidth }) => outlineStyle !== "none" && parseFloat(outlineWidth) >= 2)(getComputedStyle(document.activeElement))`) {
			dull = append(dull, reached[len(reached)-1])
		}
	}
	if want := []string{"abort", "approve", "skip", "scroll", "scroll", "text", "Add note"}; !slices.Equal(reached, want) {
		d.t.Errorf("the tab key reaches %q, want %q", reached, want)
	}
	if len(dull) > 0 {
		d.t.Errorf("these do not show that they have the focus: %q", dull)
	}
	browsertest.Eval[chromedp.Void](p, `approve.focus()`)
	p.Do(chromedp.KeyEvent(" "))
	d.waitFor("approve lose-leader")
	p.Quiet(4)
}

// A phone scrolls down and not sideways; what is wide scrolls by itself.
func testPhone(browser context.Context, d *day) {
	long := strings.Repeat("long", 30)
	d.change(func(s *Snapshot) {
		s.Cluster, s.Server, s.Experiment.Name, s.Components[0].Node, s.Notes[0].Text, s.Probes[0].Name = long, long, long, long, long, long
	})
	p := d.open(browser, 360)
	headed(p)
	if width := browsertest.Eval[int](p, `document.documentElement.scrollWidth`); width > 360 {
		wide := browsertest.Eval[[]string](p, `[...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > 360 && !e.closest(".scroll")).map((e) => e.outerHTML.slice(0, 100))`)
		d.t.Errorf("the page is %d px wide: %q", width, wide)
	}
	p.Quiet(4)
}

// Every text stands out from what is behind it, by day and by night, with contact and without.
func testContrast(browser context.Context, d *day) {
	script := reportsScript(d.t, "contrast.js")
	d.change(func(s *Snapshot) { s.Aborted = "customers called" })
	p := d.open(browser, 1280)
	look := func(what string) {
		for _, scheme := range []string{"light", "dark"} {
			p.Do(browsertest.Media("", scheme))
			if bad := browsertest.Eval[[]string](p, script); len(bad) > 0 {
				d.t.Errorf("%s, %s: too little contrast:\n%s", what, scheme, strings.Join(bad, "\n"))
			}
		}
	}
	look("waiting")
	d.change(func(s *Snapshot) { s.Phase = Holding })
	p.Wait("phase", "holding")
	look("holding")
	p.Quiet(4)
	d.server.Close()
	p.Wait("contact", "Contact lost")
	look("without contact")
}
