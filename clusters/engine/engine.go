// Package engine is docker, podman or nerdctl behind one small interface: it
// finds the engine by kind's own rules, runs commands with it, examines it
// ([Doctor]) and, on a bare Debian or Ubuntu, installs it ([Ensure]).
package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"sigs.k8s.io/kind/pkg/cluster"
)

// Engine is a container engine's command-line client.
type Engine struct {
	binary   string
	sessions *sessions
}

// newEngine is the engine of a client.
func newEngine(binary string) *Engine {
	e := &Engine{binary: binary}
	e.sessions = &sessions{
		shell: func(container string) []string { return []string{binary, "exec", "-i", container, "sh"} },
		told: func(container string, argv []string) []string {
			return append([]string{binary, "exec", container}, argv...)
		},
		frozen: func(ctx context.Context, container string) bool {
			status, err := e.Status(ctx, container)
			return err == nil && status == "paused"
		},
	}
	return e
}

// Name is the client's name: docker, podman, nerdctl, nerdctl.lima or finch.
func (e *Engine) Name() string { return e.binary }

// ProviderOption makes kind use this engine.
func (e *Engine) ProviderOption() cluster.ProviderOption {
	switch e.binary {
	case "docker":
		return cluster.ProviderWithDocker()
	case "podman":
		return cluster.ProviderWithPodman()
	default:
		return cluster.ProviderWithNerdctl(e.binary)
	}
}

// Command prepares a command of the engine. When ctx ends it is interrupted,
// and killed five seconds later.
func (e *Engine) Command(ctx context.Context, args ...string) *exec.Cmd {
	return command(ctx, e.binary, args...)
}

// Run runs a command of the engine and returns what it prints. A failure is a
// [*CommandError].
func (e *Engine) Run(ctx context.Context, args ...string) ([]byte, error) {
	return e.RunInput(ctx, nil, args...)
}

// RunInput is [Engine.Run] with something to read.
func (e *Engine) RunInput(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := e.Command(ctx, args...)
	cmd.Stdin = stdin
	out, err := run(cmd)
	if err != nil && ctx.Err() != nil {
		// A client that was interrupted tells it in words of its own.
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return out, err
}

// Exec runs argv inside a running container and returns what it prints. Shells that stay
// in the container make it fast; they end with the container or with this process.
func (e *Engine) Exec(ctx context.Context, container string, argv ...string) ([]byte, error) {
	return e.sessions.exec(ctx, container, argv)
}

// ExecInput is [Engine.Exec] with something to read.
func (e *Engine) ExecInput(ctx context.Context, container string, stdin io.Reader, argv ...string) ([]byte, error) {
	return e.RunInput(ctx, stdin, append([]string{"exec", "-i", container}, argv...)...)
}

// Ping asks whether the engine answers at all, for at most ten seconds.
func (e *Engine) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := e.Run(ctx, "ps", "-q")
	return err
}

// CommandError is a command that failed, told so that it can be repeated.
type CommandError struct {
	Argv   []string
	Stderr string // what it said, trimmed
	Err    error  // an *exec.ExitError, or why it could not even start
}

func (e *CommandError) Error() string {
	text := e.Command() + ": " + e.Err.Error()
	if e.Stderr != "" {
		text += ": " + e.Stderr
	}
	return text
}

// Command is the command line, quoted so that it can be pasted into a shell.
func (e *CommandError) Command() string { return quote(e.Argv) }

func (e *CommandError) Unwrap() error { return e.Err }

func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run runs cmd to its end and turns a failure into a CommandError.
func run(cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		err = &CommandError{Argv: cmd.Args, Stderr: strings.TrimSpace(stderr.String()), Err: err}
	}
	return stdout.Bytes(), err
}

// quote joins argv for a POSIX shell.
func quote(argv []string) string {
	quoted := make([]string, len(argv))
	for i, arg := range argv {
		quoted[i] = quoteWord(arg)
	}
	return strings.Join(quoted, " ")
}

const plainCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+:,./@%"

func quoteWord(word string) string {
	if word != "" && strings.Trim(word, plainCharacters) == "" {
		return word
	}
	return fmt.Sprintf("'%s'", strings.ReplaceAll(word, "'", `'\''`))
}
