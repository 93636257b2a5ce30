package browsertest

import (
	"context"
	"fmt"
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

// Patience is how long a page may take to show or to do something.
const Patience = 20 * time.Second

// Tab is a page in a browser, and what it complained of and asked for. What goes wrong with it
// fails its test.
type Tab struct {
	T   *testing.T
	ctx context.Context
	url string

	mu         sync.Mutex
	complaints []string
	requests   []string
}

// Open opens an address in a tab of the size, which actions have prepared. The tab ends with
// the test.
func Open(browser context.Context, t *testing.T, url string, width, height int64, before ...chromedp.Action[chromedp.Void]) *Tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	p := &Tab{T: t, ctx: ctx, url: url}
	if err := chromedp.Listen(ctx, p.note); err != nil {
		t.Fatal(err)
	}
	p.Do(chromedp.EmulateViewport(width, height))
	p.Do(before...)
	p.Do(chromedp.Navigate(url))
	return p
}

func (p *Tab) note(event any) {
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

// Complaints are what the page wrote to its console, and what the browser did.
func (p *Tab) Complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.complaints)
}

// Quiet fails the test when the page complained, or asked for anything that is not below its
// own address. Fewer requests than it has to make mean that they go unnoticed.
func (p *Tab) Quiet(requests int) {
	p.T.Helper()
	if complaints := p.Complaints(); len(complaints) > 0 {
		p.T.Errorf("the page complains: %q", complaints)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	own, _, _ := strings.Cut(p.url, "?")
	for _, url := range p.requests {
		if !strings.HasPrefix(url, own) && !strings.HasPrefix(url, "data:") {
			p.T.Errorf("the page asks for %s", url)
		}
	}
	if len(p.requests) < requests {
		p.T.Errorf("the page has to make %d requests; noticed were %q", requests, p.requests)
	}
}

// Do carries actions out.
func (p *Tab) Do(actions ...chromedp.Action[chromedp.Void]) {
	p.T.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.T.Fatal(err)
	}
}

// Click clicks with the mouse, once the button is enabled.
func (p *Tab) Click(id string) {
	p.T.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.WaitEnabled(chromedp.CSS("#"+id)), chromedp.Click(chromedp.CSS("#"+id))); err != nil {
		p.T.Fatalf("click %s: %v", id, err)
	}
}

// Result carries an action out that has a result.
func Result[T any](p *Tab, action chromedp.Action[T]) T {
	p.T.Helper()
	value, err := chromedp.Run(p.ctx, action)
	if err != nil {
		p.T.Fatal(err)
	}
	return value
}

// Eval is what an expression, or its promise, comes to in the page.
func Eval[T any](p *Tab, expression string) T {
	p.T.Helper()
	return Result(p, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Shown is the text of an element as people see it: nothing while it is hidden.
func (p *Tab) Shown(id string) string {
	p.T.Helper()
	return Eval[string](p, fmt.Sprintf(`document.getElementById(%q).innerText`, id))
}

// Wait waits until the element shows all the texts.
func (p *Tab) Wait(id string, texts ...string) {
	p.T.Helper()
	p.WaitFor(Patience, id, texts...)
}

// WaitFor is Wait with a patience of its own.
func (p *Tab) WaitFor(patience time.Duration, id string, texts ...string) {
	p.T.Helper()
	var got string
	if !Within(patience, func() bool {
		got = p.Shown(id)
		return !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(got, text) })
	}) {
		p.T.Fatalf("%s shows %q, want %q", id, got, texts)
	}
}

// Within asks again and again until it is so, and tells whether it came to be so in time.
func Within(limit time.Duration, ok func() bool) bool {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); time.Now().Before(end); <-tick.C {
		if ok() {
			return true
		}
	}
	return false
}

// Media asks a page for how it looks in a medium, such as print, and in a scheme of colours,
// light or dark. The empty medium is the screen.
func Media(medium, scheme string) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Media: medium, Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return chromedp.Void{}, err
	}
}
