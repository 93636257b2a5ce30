package page

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// tab is a day's page in a browser, and what it complained of and asked for.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string

	mu         sync.Mutex
	complaints []string
	requests   []string
}

// open opens the day's page in a tab of the width, and waits until it is live.
func (d *day) open(ctx context.Context, width int64) *tab {
	d.t.Helper()
	ctx, cancel := chromedp.NewContext(ctx)
	d.t.Cleanup(cancel)
	p := &tab{t: d.t, ctx: ctx, url: d.server.URL()}
	if err := chromedp.Listen(ctx, p.note); err != nil {
		d.t.Fatal(err)
	}
	p.do(chromedp.EmulateViewport(width, 800), chromedp.Navigate(p.url))
	p.wait(`contact`, "Live")
	return p
}

func (p *tab) note(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		p.complaints = append(p.complaints, "console: "+string(e.Type))
	case *runtime.EventExceptionThrown:
		p.complaints = append(p.complaints, "exception: "+e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		p.complaints = append(p.complaints, string(e.Entry.Level)+": "+e.Entry.Text)
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	}
}

// quiet fails the test when the page complained, or asked anybody but its own server.
func (p *tab) quiet() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.complaints) > 0 {
		p.t.Errorf("the page complains: %q", p.complaints)
	}
	own, _, _ := strings.Cut(p.url, "?")
	for _, url := range p.requests {
		if !strings.HasPrefix(url, own) && !strings.HasPrefix(url, "data:") {
			p.t.Errorf("the page asks for %s", url)
		}
	}
	if len(p.requests) < 4 {
		p.t.Errorf("page, script, style and events are four requests; noticed were %q", p.requests)
	}
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// click clicks with the mouse, once the button is enabled.
func (p *tab) click(id string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.WaitEnabled(chromedp.CSS("#"+id)), chromedp.Click(chromedp.CSS("#"+id))); err != nil {
		p.t.Fatalf("click %s: %v", id, err)
	}
}

// eval is what an expression, or its promise, comes to in the page.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%.80s: %v", expression, err)
	}
	return value
}

// shown is the text of an element as people see it: nothing while it is hidden.
func (p *tab) shown(id string) string {
	p.t.Helper()
	return eval[string](p, fmt.Sprintf(`document.getElementById(%q).innerText`, id))
}

// wait waits until the element shows all the texts.
func (p *tab) wait(id string, texts ...string) {
	p.t.Helper()
	var got string
	if !within(20*time.Second, func() bool {
		got = p.shown(id)
		return !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(got, text) })
	}) {
		p.t.Fatalf("%s shows %q, want %q", id, got, texts)
	}
}

// waitFor waits until the people's actions are the ones that are wanted.
func (d *day) waitFor(want ...string) {
	d.t.Helper()
	if !within(20*time.Second, func() bool { return slices.Equal(d.calls(), want) }) {
		d.t.Fatalf("done was %q, want %q", d.calls(), want)
	}
}

func within(limit time.Duration, ok func() bool) bool {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); time.Now().Before(end); <-tick.C {
		if ok() {
			return true
		}
	}
	return false
}

// scheme asks the page for its light or dark colours.
func (p *tab) scheme(name string) {
	p.t.Helper()
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}
	p.do(func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
		return chromedp.Void{}, err
	})
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
