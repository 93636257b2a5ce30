package html_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"faultline/reports/browsertest"
	"faultline/reports/html"
	"faultline/reports/internal/fixture"
	"faultline/reports/record"
)

const unfoldAll = `document.querySelectorAll("details").forEach((e) => { e.open = true; })`

// comparison is a page of a realistic run compared with a slower one.
func comparison(t *testing.T) string {
	t.Helper()
	before, after := fixture.Run(), fixture.Run()
	before.ID = "before"
	for i := range after.Experiments {
		for j := range after.Experiments[i].Observations {
			if s := after.Experiments[i].Observations[j].Seconds; s != nil {
				*s *= 1.5
			}
		}
	}
	slow := &after.Experiments[0]
	seconds, _ := slow.Recovery()
	after.Gate = &record.Gate{Comparisons: []record.Comparison{{Experiment: slow.ID, Seconds: seconds, Limit: new(float64), Regressed: true,
		Earlier: []record.Earlier{{Seconds: 1}, {Seconds: 2}, {Seconds: 3}}}}}
	var b bytes.Buffer
	if err := html.WriteComparison(&b, before, after, "report.html"); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The report is read in a real browser: with a mouse, with keys, in the dark, on a phone,
// on paper, without scripts.
func TestInBrowser(t *testing.T) {
	browser := browsertest.Start(t)
	run := gated(fixture.Run(), record.OutcomeRegression)
	run.Shards = []record.Shard{{Name: "s1", Environment: run.Environment}}
	run.Experiments[1].Leases[0].Holds = []record.Tenure{{To: 12, Holder: "n1"}, {From: 10, To: 30, Holder: "n2"}} // they overlap
	run.Experiments[2].Spent = &record.Spent{Cluster: 12, Waiting: 30}
	page := render(t, run)
	for name, test := range map[string]func(context.Context, *testing.T, string){
		"matrix leads to its experiments": testMatrix,
		"all is reached by tab":           testTab,
		"timeline is zoomed":              testZoom,
		"command is copied":               testCopy,
		"filters":                         testFilters,
		"contrast":                        testContrast,
		"phone":                           testPhone,
		"paper":                           testPaper,
		"no scripts":                      testWithoutScripts,
	} {
		t.Run(name, func(t *testing.T) { test(browser, t, page) })
	}
	t.Run("many experiments", func(t *testing.T) { testMany(browser, t) })
	t.Run("contrast and width of a comparison", func(t *testing.T) {
		testContrast(browser, t, comparison(t))
		testPhone(browser, t, comparison(t))
	})
}

// Each cell of the matrix leads to the experiment that it names.
func testMatrix(browser context.Context, t *testing.T, page string) {
	p := openPage(browser, t, page, 1280, 800)
	browsertest.Eval[chromedp.Void](p, `document.querySelectorAll("#matrix details").forEach((e) => { e.open = true; })`)
	names := browsertest.Eval[[]string](p, `[...document.querySelectorAll("#matrix table a")].map((a) => a.title || a.childNodes[2].data.trim())`)
	seen := map[string]bool{}
	for i, name := range names {
		seen[name] = true
		browsertest.Eval[chromedp.Void](p, fmt.Sprintf(`document.querySelectorAll("#matrix table a")[%d].click()`, i))
		at := browsertest.Eval[string](p, `new Promise((done) => setTimeout(() => {
			const e = document.activeElement.closest("details.experiment"), box = e && e.querySelector("summary").getBoundingClientRect();
			done(!e ? "nothing has the focus" : !e.open ? "it is folded" : box.bottom < 0 || box.top > innerHeight ? "it is out of sight" : e.querySelector(".name").textContent);
		}, 20))`)
		if at != name {
			t.Errorf("the cell of %q leads to: %s", name, at)
		}
	}
	for _, e := range fixture.Run().Experiments {
		if !seen[e.Name] {
			t.Errorf("no cell leads to %q", e.Name)
		}
	}
	p.Quiet(1)
}

// The tab key reaches everything that can be used, shows where it is, and lets go again.
func testTab(browser context.Context, t *testing.T, page string) {
	p := openPage(browser, t, page, 1280, 800)
	const usable = `[...document.querySelectorAll("a[href], button, summary, [tabindex='0']")].filter((e) => e.checkVisibility())`
	browsertest.Eval[chromedp.Void](p, `window.all = `+usable+`; window.missed = new Set(all); window.dull = []`)
	total := browsertest.Eval[int](p, `all.length`)
	for range total + 1 {
		press(p, kb.Tab)
		browsertest.Eval[chromedp.Void](p, `(() => {
			const e = document.activeElement, s = getComputedStyle(e);
			missed.delete(e);
			if (e !== document.body && (s.outlineStyle === "none" || parseFloat(s.outlineWidth) < 2)) dull.push(e.outerHTML.slice(0, 80));
		})()`)
	}
	if missed := browsertest.Eval[[]string](p, `[...missed].map((e) => e.outerHTML.slice(0, 80))`); len(missed) > 0 || total < 50 {
		t.Errorf("of %d the tab key does not reach %q", total, missed)
	}
	if dull := browsertest.Eval[[]string](p, `dull`); len(dull) > 0 {
		t.Errorf("these do not show that they have the focus: %q", dull)
	}
	p.Quiet(1)
}

// A timeline is zoomed by keys, buttons and the mouse, and is whole again afterwards.
func testZoom(browser context.Context, t *testing.T, page string) {
	p := openPage(browser, t, page, 1280, 800)
	const state = `(() => {
		const plot = drawing.querySelector(".plot"), ticks = [...plot.querySelectorAll(".tick text")].map((e) => e.textContent);
		return ticks[0] + " to " + ticks.at(-1) + (plot.classList.contains("zoomed") ? " zoomed" : "");
	})()`
	browsertest.Eval[chromedp.Void](p, `window.drawing = document.querySelector(".experiment[open] .drawing"); drawing.scrollIntoView(); drawing.focus()`)
	whole, before := browsertest.Eval[string](p, state), browsertest.Eval[string](p, `drawing.innerHTML`)
	step := func(what, want string, act func()) {
		t.Helper()
		act()
		if got := browsertest.Eval[string](p, state); got != want {
			t.Errorf("%s: it shows %s, want %s", what, got, want)
		}
	}
	// The experiment takes 35 s.
	step("at first", "0 s to 35 s", func() {})
	step("closer", "10 s to 26 s zoomed", func() { press(p, "+") })
	step("later", "14 s to 30 s zoomed", func() { press(p, kb.ArrowRight) })
	step("earlier", "10 s to 26 s zoomed", func() { press(p, kb.ArrowLeft) })
	step("farther", whole, func() { press(p, "-") })
	if after := browsertest.Eval[string](p, `drawing.innerHTML`); len(after) < len(before)*9/10 {
		t.Error("the whole timeline has lost something")
	}
	button := func(key string) func() {
		return func() {
			browsertest.Eval[chromedp.Void](p, `drawing.previousElementSibling.querySelector("[data-zoom='`+key+`']").click()`)
		}
	}
	step("button closer", "10 s to 26 s zoomed", button("+"))
	step("button whole", whole, button("0"))
	box := browsertest.Eval[[]float64](p, `(() => { const b = drawing.querySelector(".plot .base").getBoundingClientRect(); return [b.x, b.y - 60, b.width]; })()`)
	step("drag over a half", "18 s to 34 s zoomed", func() {
		p.Do(chromedp.MouseEvent(input.DispatchMouseEventTypeMousePressed, box[0]+box[2]/2, box[1], chromedp.ButtonLeft),
			chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, box[0]+box[2]*0.75, box[1], chromedp.ButtonLeft),
			chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, box[0]+box[2]-1, box[1], chromedp.ButtonLeft),
			chromedp.MouseEvent(input.DispatchMouseEventTypeMouseReleased, box[0]+box[2]-1, box[1], chromedp.ButtonLeft))
	})
	step("key whole", whole, func() { press(p, "0") })
	p.Quiet(1)
}

func testCopy(browser context.Context, t *testing.T, page string) {
	p := openPage(browser, t, page, 1280, 800)
	browsertest.Eval[chromedp.Void](p, `document.querySelector(".experiment[open] [data-copy]").focus()`)
	press(p, kb.Enter)
	told := browsertest.Eval[string](p, `new Promise((done) => setTimeout(() => done(document.querySelector(".experiment[open] [data-copy]").textContent), 100))`)
	selected := browsertest.Eval[string](p, `getSelection().toString()`)
	if told != "copied" || !strings.HasPrefix(selected, "make chaos GINKGO_FOCUS='") {
		t.Errorf("the button says %q, selected is %q", told, selected)
	}
	p.Quiet(1)
}

func testFilters(browser context.Context, t *testing.T, page string) {
	p := openPage(browser, t, page, 1280, 800)
	for verdict, want := range map[string]int{"broken": 1, "drifted": 2, "": 15} {
		browsertest.Eval[chromedp.Void](p, `document.querySelector("[data-show='`+verdict+`']").click()`)
		if got := browsertest.Eval[int](p, `[...document.querySelectorAll(".experiment")].filter((e) => e.checkVisibility()).length`); got != want {
			t.Errorf("the filter %q shows %d experiments, want %d", verdict, got, want)
		}
	}
	p.Quiet(1)
}

// Every text stands out from what is behind it, by day and by night.
func testContrast(browser context.Context, t *testing.T, page string) {
	script, err := os.ReadFile(filepath.Join("testdata", "contrast.js"))
	if err != nil {
		t.Fatal(err)
	}
	for name, scheme := range map[string]chromedp.Action[chromedp.Void]{"light": light(), "dark": dark()} {
		p := openPage(browser, t, page, 1280, 800, scheme)
		browsertest.Eval[chromedp.Void](p, unfoldAll)
		if bad := browsertest.Eval[[]string](p, string(script)); len(bad) > 0 {
			t.Errorf("%s: %d kinds of text have too little contrast:\n%s", name, len(bad), strings.Join(bad, "\n"))
		}
		// The check itself: a text that is made pale is found.
		browsertest.Eval[chromedp.Void](p, `document.querySelector("h1").style.color = getComputedStyle(document.body).backgroundColor`)
		if bad := browsertest.Eval[[]string](p, string(script)); len(bad) == 0 {
			t.Errorf("%s: an invisible headline is not noticed", name)
		}
		p.Quiet(1)
	}
}

// A phone scrolls down and not sideways; what is wide scrolls by itself.
func testPhone(browser context.Context, t *testing.T, page string) {
	p := openPage(browser, t, page, 360, 740)
	browsertest.Eval[chromedp.Void](p, unfoldAll)
	if width := browsertest.Eval[int](p, `document.documentElement.scrollWidth`); width > 360 {
		wide := browsertest.Eval[[]string](p, `[...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > 360 && !e.closest(".scroll, pre")).map((e) => e.outerHTML.slice(0, 100))`)
		t.Errorf("the page is %d px wide: %q", width, wide)
	}
	p.Quiet(1)
}

// Paper shows everything, in dark ink, and nothing that wants to be clicked.
func testPaper(browser context.Context, t *testing.T, page string) {
	p := openPage(browser, t, page, 1280, 800, paper())
	browsertest.Eval[chromedp.Void](p, `dispatchEvent(new Event("beforeprint"))`)
	if folded := browsertest.Eval[int](p, `document.querySelectorAll("details:not([open])").length`); folded > 0 {
		t.Errorf("%d parts stay folded", folded)
	}
	if shown := browsertest.Eval[[]string](p, `[...document.querySelectorAll("button, .tools, .skip, nav")].filter((e) => e.checkVisibility()).map((e) => e.outerHTML.slice(0, 60))`); len(shown) > 0 {
		t.Errorf("paper shows %q", shown)
	}
	if ground := browsertest.Eval[string](p, `getComputedStyle(document.body).backgroundColor`); ground != "rgb(255, 255, 255)" {
		t.Errorf("the paper is %s", ground)
	}
	browsertest.Eval[chromedp.Void](p, `dispatchEvent(new Event("afterprint"))`)
	if pages := bytes.Count(browsertest.Result(p, chromedp.PrintToPDF()), []byte("/Type /Page\n")); pages < 15 {
		t.Errorf("%d pages are printed", pages)
	}
	p.Quiet(1)
}

// Without scripts a link unfolds its experiment, and nothing is offered that would not work.
func testWithoutScripts(browser context.Context, t *testing.T, page string) {
	p := openPage(browser, t, page, 1280, 800, withoutScripts)
	p.Do(chromedp.Click(chromedp.CSS(`#matrix a[href="#experiment-lose-host-three"]`)), chromedp.Sleep(100*time.Millisecond))
	if open := browsertest.Eval[bool](p, `document.getElementById("experiment-lose-host-three").parentElement.open`); !open {
		t.Error("the link does not unfold its experiment")
	}
	if shown := browsertest.Eval[int](p, `[...document.querySelectorAll("button")].filter((e) => e.checkVisibility()).length`); shown > 0 {
		t.Errorf("%d buttons are shown that do nothing", shown)
	}
	p.Quiet(1)
}

// A run of 300 experiments opens in less than two seconds, and answers at once. The best
// of three counts: others may use the machine.
func testMany(browser context.Context, t *testing.T) {
	const longest = 2000
	var loads, clicks []float64
	page := render(t, fixture.Large(300, 20))
	for range 3 {
		p := openPage(browser, t, page, 1280, 800)
		loads = append(loads, browsertest.Eval[float64](p, `performance.getEntriesByType("navigation")[0].loadEventEnd`))
		clicks = append(clicks, browsertest.Eval[float64](p, `new Promise((done) => {
			const start = performance.now();
			document.querySelector("#matrix a.cell, #matrix .several a").click();
			requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
		})`))
		p.Quiet(1)
	}
	t.Logf("loaded after %.0f ms, a click took %.0f ms", loads, clicks)
	if least := slices.Min(loads); least > longest {
		t.Errorf("the page is there after %.0f ms, at most %d are wanted", least, longest)
	}
	if least := slices.Min(clicks); least > longest/4 {
		t.Errorf("a click takes %.0f ms", least)
	}
}
