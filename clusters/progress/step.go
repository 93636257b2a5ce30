package progress

import (
	"fmt"
	"time"
)

// Step is one piece of work that is under way. A nil *Step does nothing.
type Step struct {
	printer  *Printer
	name     string
	estimate time.Duration
	started  time.Time
	reminded time.Time
	message  string
}

// Update says what the step is doing now; it shows with the next redraw or
// reminder.
func (s *Step) Update(message string) {
	if s == nil {
		return
	}
	s.printer.mu.Lock()
	defer s.printer.mu.Unlock()
	s.message = message
}

// Done ends the step and prints how long it took and, with an error, that it
// failed. The error itself is the caller's to return and to print.
func (s *Step) Done(err error) {
	if s == nil {
		return
	}
	mark, verb := "✓", ""
	if err != nil {
		mark, verb = "✗", "failed after "
	}
	s.end(fmt.Sprintf("%s %s (%s%s)", mark, s.name, verb, short(time.Since(s.started))))
}

// End ends the step without a word, for a caller who tells what came of it.
func (s *Step) End() {
	if s != nil {
		s.end("")
	}
}

// end ends the step with a line, or with none where there is nothing to say.
func (s *Step) end(text string) {
	p := s.printer
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish(s)
	if text != "" {
		p.line(text)
		return
	}
	p.wipe()
	p.draw()
}

// describe is the step in one line: name, time, what it does right now.
func (s *Step) describe(now time.Time) string {
	text := s.name + ", " + short(now.Sub(s.started))
	if s.estimate > 0 {
		text += " of about " + short(s.estimate)
	}
	if s.message != "" {
		text += ", " + s.message
	}
	return text
}

// short prints a duration with as much precision as a person wants to read.
func short(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return fmt.Sprintf("%ds", int(d.Round(time.Second)/time.Second))
}
