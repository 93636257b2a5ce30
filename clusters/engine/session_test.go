package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// localSessions are shells of this machine.
func localSessions(started *atomic.Int32) *sessions {
	return &sessions{
		shell:  func(string) []string { started.Add(1); return []string{"sh"} },
		told:   told,
		frozen: func(context.Context, string) bool { return false },
	}
}

func told(container string, argv []string) []string {
	return append([]string{"engine", "exec", container}, argv...)
}

func TestASessionRunsCommandsAsTheEngineDoes(t *testing.T) {
	var started atomic.Int32
	p := localSessions(&started)
	for _, c := range []struct {
		argv      []string
		out, said string
		status    int
	}{
		{[]string{"echo", "hello"}, "hello\n", "", 0},
		{[]string{"printf", "no line break"}, "no line break", "", 0},
		{[]string{"true"}, "", "", 0},
		{[]string{"sh", "-c", "echo out; echo why >&2; exit 3"}, "out\n", "why", 3},
		{[]string{"sh", "-c", "echo \"$1\"\nprintf '\\000\\n\\n'", "sh", "it's $HOME\nand more"}, "it's $HOME\nand more\n\x00\n\n", "", 0},
		{[]string{"cat"}, "", "", 0}, // nothing to read
	} {
		out, err := p.exec(t.Context(), "c", c.argv)
		var status ExitStatus
		errors.As(err, &status)
		if string(out) != c.out || int(status) != c.status || (err == nil) != (c.status == 0) {
			t.Errorf("%q: %q, %v; want %q and status %d", c.argv, out, err, c.out, c.status)
		}
		var failed *CommandError
		if err != nil && (!errors.As(err, &failed) || failed.Stderr != c.said) {
			t.Errorf("%q: %v; want it to say %q", c.argv, err, c.said)
		}
	}
	if _, err := p.exec(t.Context(), "c", []string{"no-such-program"}); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("a program that does not exist: %v", err)
	}
	before := started.Load()
	if _, err := p.exec(t.Context(), "c", []string{"true"}); err != nil || started.Load() != before {
		t.Errorf("another shell was started (%v)", err)
	}
}

func TestSessionsRunSideBySide(t *testing.T) {
	var started atomic.Int32
	p := localSessions(&started)
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			want := fmt.Sprintf("%d\n", n)
			if out, err := p.exec(t.Context(), "c", []string{"sh", "-c", "sleep 0.1; echo $1", "sh", fmt.Sprint(n)}); err != nil || string(out) != want {
				t.Errorf("%q, %v; want %q", out, err, want)
			}
		})
	}
	all.Wait()
	if n := len(p.idle["c"]); n > idleSessions {
		t.Errorf("%d shells wait, want at most %d", n, idleSessions)
	}
}

func TestASessionThatEndedIsNotUsedAgain(t *testing.T) {
	var started atomic.Int32
	p := localSessions(&started)
	if _, err := p.exec(t.Context(), "c", []string{"sh", "-c", "kill -KILL $PPID"}); err == nil || !strings.Contains(err.Error(), "shell ended") {
		t.Errorf("a command that ends its shell: %v", err)
	}
	s, err := p.take("c")
	if err != nil {
		t.Fatal(err)
	}
	s.end()
	<-s.ended
	p.give("c", s)
	if out, err := p.exec(t.Context(), "c", []string{"echo", "alive"}); err != nil || string(out) != "alive\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestASessionThatHangsIsGivenUp(t *testing.T) {
	var started atomic.Int32
	p := localSessions(&started)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := p.exec(ctx, "c", []string{"sleep", "30"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("past the deadline: %v", err)
	}
	p.frozen = func(context.Context, string) bool { return true }
	if _, err := p.exec(t.Context(), "c", []string{"sleep", "30"}); err == nil || !strings.Contains(err.Error(), "paused") {
		t.Errorf("in a frozen container: %v", err)
	}
	if out, err := p.exec(t.Context(), "c", []string{"echo", "alive"}); err != nil || string(out) != "alive\n" {
		t.Errorf("afterwards: %q, %v", out, err)
	}
}

func TestASessionTellsWhyThereIsNone(t *testing.T) {
	p := &sessions{
		shell: func(string) []string { return []string{"sh", "-c", "echo no such container >&2; exit 1"} },
		told:  told,
	}
	_, err := p.exec(t.Context(), "c", []string{"true"})
	var failed *CommandError
	if !errors.As(err, &failed) || failed.Stderr != "no such container" || failed.Command() != "engine exec c true" {
		t.Errorf("%v", err)
	}
}
