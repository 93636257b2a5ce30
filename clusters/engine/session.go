package engine

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ExitStatus is how a command in a container ended, other than with 0.
type ExitStatus int

func (s ExitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

const (
	// idleSessions is how many shells of a container wait for the next command.
	idleSessions = 4
	// pausedPoll is how often a silent container is asked whether it is frozen: the
	// engine itself refuses a new shell there, but an old one would hang.
	pausedPoll = 2 * time.Second
)

// sessions run commands in containers through shells that stay. A command then costs a
// millisecond, and not the 50 ms of a new process in a container.
type sessions struct {
	// shell is the command line of a shell in a container, told that of one command, for
	// people.
	shell func(container string) []string
	told  func(container string, argv []string) []string
	// frozen tells whether a container cannot answer.
	frozen func(ctx context.Context, container string) bool

	mu   sync.Mutex
	idle map[string][]*session
}

// session is one shell, which does one command at a time.
type session struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	out, err *bufio.Reader
	pipes    []io.Closer
	ended    chan struct{} // closed when the shell is gone
}

// answer is what a command came to.
type answer struct {
	out, said []byte
	err       error
}

// ended tells whether the shell is gone, and not only the command.
func (a answer) ended() bool {
	var status ExitStatus
	return a.err != nil && !errors.As(a.err, &status)
}

// exec runs argv in a container. A command that is given up goes on there, as it does
// when the engine's client is killed.
func (p *sessions) exec(ctx context.Context, container string, argv []string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, err := p.take(container)
	if err != nil {
		return nil, &CommandError{Argv: p.told(container, argv), Err: err}
	}
	done := make(chan answer, 1)
	go func() {
		a := s.run(argv)
		if a.ended() {
			s.close()
		}
		done <- a
	}()
	poll := time.NewTicker(pausedPoll)
	defer poll.Stop()
	for {
		select {
		case a := <-done:
			return p.finish(container, s, argv, a)
		case <-ctx.Done():
			s.end()
			return nil, &CommandError{Argv: p.told(container, argv), Err: ctx.Err()}
		case <-poll.C:
			if p.frozen(ctx, container) {
				s.end()
				return nil, &CommandError{Argv: p.told(container, argv), Err: fmt.Errorf("container %s is paused", container)}
			}
		}
	}
}

// finish keeps the shell for the next command, unless it has ended.
func (p *sessions) finish(container string, s *session, argv []string, a answer) ([]byte, error) {
	if a.ended() {
		s.end()
	} else {
		p.give(container, s)
	}
	if a.err != nil {
		return a.out, &CommandError{Argv: p.told(container, argv), Stderr: strings.TrimSpace(string(a.said)), Err: a.err}
	}
	return a.out, nil
}

// take returns a shell that waits, or a new one.
func (p *sessions) take(container string) (*session, error) {
	p.mu.Lock()
	for waiting := p.idle[container]; len(waiting) > 0; waiting = p.idle[container] {
		s := waiting[len(waiting)-1]
		p.idle[container] = waiting[:len(waiting)-1]
		select {
		case <-s.ended:
			s.close()
		default:
			p.mu.Unlock()
			return s, nil
		}
	}
	p.mu.Unlock()
	return p.start(container)
}

// give lets a shell wait for the next command.
func (p *sessions) give(container string, s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle[container]) >= idleSessions {
		s.end()
		s.close()
		return
	}
	if p.idle == nil {
		p.idle = map[string][]*session{}
	}
	p.idle[container] = append(p.idle[container], s)
}

func (p *sessions) start(container string) (*session, error) {
	argv := p.shell(container)
	cmd := exec.Command(argv[0], argv[1:]...)
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	said, errErr := cmd.StderrPipe()
	if err := errors.Join(errIn, errOut, errErr); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &session{
		cmd: cmd, in: in, out: bufio.NewReader(out), err: bufio.NewReader(said),
		pipes: []io.Closer{in, out, said}, ended: make(chan struct{}),
	}
	go p.reap(container, s)
	return s, nil
}

// reap forgets a shell whose client has ended. It asks the process itself: waiting for
// the command would close pipes that may still hold its last words.
func (p *sessions) reap(container string, s *session) {
	_, _ = s.cmd.Process.Wait()
	close(s.ended)
	p.mu.Lock()
	defer p.mu.Unlock()
	n := slices.Index(p.idle[container], s)
	if n < 0 {
		return // in use: its command notices
	}
	s.close()
	p.idle[container] = slices.Delete(p.idle[container], n, n+1)
	if len(p.idle[container]) == 0 {
		delete(p.idle, container)
	}
}

// end gives the shell up. Whoever reads from it notices.
func (s *session) end() {
	_ = s.in.Close()
	_ = s.cmd.Process.Kill()
}

// close lets go of a shell from which nobody reads.
func (s *session) close() {
	for _, pipe := range s.pipes {
		_ = pipe.Close()
	}
}

// run has the shell run argv between marks that nothing else prints.
func (s *session) run(argv []string) answer {
	mark := rand.Text()
	script := fmt.Sprintf("printf '\\n%[1]s\\n'; printf '\\n%[1]s\\n' >&2; (exec %[2]s) </dev/null; printf '\\n%[1]s %%d\\n' $?; printf '\\n%[1]s\\n' >&2\n",
		mark, quote(argv))
	said := make(chan answer, 1)
	go func() {
		_, text, err := between(s.err, mark)
		said <- answer{said: text, err: err}
	}()
	// A shell that has ended says why, and nobody reads the script.
	_, _ = io.WriteString(s.in, script)
	end, out, err := between(s.out, mark)
	told := <-said
	if err = errors.Join(err, told.err); err != nil {
		return answer{out: out, said: told.said, err: fmt.Errorf("the container's shell ended: %w", err)}
	}
	status, err := strconv.Atoi(strings.TrimSpace(end))
	if err == nil && status != 0 {
		err = ExitStatus(status)
	}
	return answer{out: out, said: told.said, err: err}
}

// between reads what is printed between two marks, and the rest of the last one's line.
// What came before the first belongs to an earlier command. Without marks it returns
// all that there was.
func between(r *bufio.Reader, mark string) (end string, text []byte, err error) {
	begun := false
	for {
		line, err := r.ReadBytes('\n')
		rest, marked := strings.CutPrefix(string(line), mark)
		switch {
		case marked && begun:
			return rest, text[:len(text)-1], nil // the mark's own line break
		case marked:
			begun, text = true, nil
		default:
			text = append(text, line...)
		}
		if err != nil {
			return "", text, err
		}
	}
}
