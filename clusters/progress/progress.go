// Package progress tells a person what a long piece of work is doing, how long
// it has been at it and how long it usually takes.
//
// On a terminal the current step is one line with a spinner; everywhere else,
// and with NO_COLOR set, each step is a few plain lines that suit a log.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// reminder is how often a step that runs off a terminal says that it lives.
const reminder = 30 * time.Second

// Printer prints the progress of steps. A nil *Printer prints nothing, so code
// that does work never has to ask whether somebody is watching.
type Printer struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool
	active   []*Step
	tick     *time.Ticker
	quit     chan struct{}
	drawn    bool
	frame    int
}

// New returns a Printer that writes to w. It animates only where w is a
// terminal and NO_COLOR is not set.
func New(w io.Writer) *Printer {
	return &Printer{w: w, terminal: isTerminal(w) && os.Getenv("NO_COLOR") == ""}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Printf prints one line of its own, above any step that is running.
func (p *Printer) Printf(format string, args ...any) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line(fmt.Sprintf(format, args...))
}

// Step begins a step. The estimate is how long it usually takes; zero means
// that nobody knows. The caller must call [Step.Done] or [Step.End] once.
func (p *Printer) Step(name string, estimate time.Duration) *Step {
	if p == nil {
		return nil
	}
	s := &Step{printer: p, name: name, estimate: estimate, started: time.Now()}
	s.reminded = s.started
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active = append(p.active, s)
	if !p.terminal {
		p.line("· " + name + about(estimate))
	}
	p.start()
	p.draw()
	return s
}

// about says how long something usually takes, or nothing.
func about(estimate time.Duration) string {
	if estimate <= 0 {
		return ""
	}
	return " (about " + short(estimate) + ")"
}

// start runs the clock while at least one step is running. It wants p.mu.
func (p *Printer) start() {
	if p.tick != nil {
		return
	}
	every := time.Second
	if p.terminal {
		every = 100 * time.Millisecond
	}
	p.tick, p.quit = time.NewTicker(every), make(chan struct{})
	go p.run(p.tick, p.quit)
}

func (p *Printer) run(tick *time.Ticker, quit <-chan struct{}) {
	for {
		select {
		case <-quit:
			return
		case now := <-tick.C:
			p.beat(now)
		}
	}
}

// beat redraws the line of the current step, or reminds a log of it.
func (p *Printer) beat(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal {
		p.frame++
		p.draw()
		return
	}
	for _, s := range p.active {
		if now.Sub(s.reminded) >= reminder {
			s.reminded = now
			p.line("  still at it: " + s.describe(now))
		}
	}
}

// finish forgets a step and stops the clock after the last one. It wants p.mu.
func (p *Printer) finish(s *Step) {
	for i, other := range p.active {
		if other == s {
			p.active = append(p.active[:i], p.active[i+1:]...)
			break
		}
	}
	if len(p.active) == 0 && p.tick != nil {
		p.tick.Stop()
		close(p.quit)
		p.tick = nil
	}
}

var frames = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

// draw writes the newest step over the line before. It wants p.mu.
func (p *Printer) draw() {
	if !p.terminal || len(p.active) == 0 {
		return
	}
	s := p.active[len(p.active)-1]
	text := frames[p.frame%len(frames)] + " " + s.describe(time.Now())
	if f, ok := p.w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			text = clip(text, width-1)
		}
	}
	fmt.Fprintf(p.w, "\r\x1b[2K%s", text)
	p.drawn = true
}

// clip shortens text to at most width characters, so that it never wraps.
func clip(text string, width int) string {
	if runes := []rune(text); width > 0 && len(runes) > width {
		return string(runes[:width])
	}
	return text
}

// line writes a whole line, first wiping the animated one. It wants p.mu.
func (p *Printer) line(text string) {
	p.wipe()
	fmt.Fprintln(p.w, strings.TrimRight(text, "\n"))
	p.draw()
}

// wipe removes the animated line. It wants p.mu.
func (p *Printer) wipe() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[2K")
		p.drawn = false
	}
}
