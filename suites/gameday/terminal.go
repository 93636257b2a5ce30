package gameday

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// terminal tells people at a terminal what happens, and takes their word.
type terminal struct {
	state *state
	in    io.Reader

	mu  sync.Mutex
	out io.Writer
}

func newTerminal(s *state, in io.Reader, out io.Writer) *terminal {
	return &terminal{state: s, in: in, out: out}
}

// say writes a line with the time.
func (t *terminal) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// read follows what is typed until there is no more. An empty line while something is broken
// aborts: in a hurry nobody spells.
func (t *terminal) read() {
	lines := bufio.NewScanner(t.in)
	for lines.Scan() {
		if err := t.obey(strings.TrimSpace(lines.Text())); err != nil {
			t.say("%v", err)
		}
	}
}

func (t *terminal) obey(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	current, _ := t.state.underway()
	shown := t.state.snapshot().Experiment
	id := ""
	if shown != nil {
		id = shown.ID
	}
	switch {
	case word == "abort", word == "" && current != nil:
		t.state.Abort("said so at the terminal")
		return nil
	case word == "":
		return nil
	case word == "approve":
		return t.state.Approve(id)
	case word == "skip":
		return t.state.Skip(id)
	case word == "note" && rest != "":
		return t.state.Note(rest)
	default:
		return fmt.Errorf("%q is not known: type approve, skip, abort, or note and a text; while something is broken, Enter aborts", line)
	}
}
