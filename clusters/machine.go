package clusters

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// ThisMachineName is the name of the pseudo-node ThisMachine.
const ThisMachineName = "this-machine"

// ThisMachine is where commands go that no node can run: those that switch nodes
// off and on. It belongs to no cluster.
func ThisMachine() *Node { return &Node{Name: ThisMachineName, shell: LocalShell} }

// pipeTime is how long a command that has ended may keep us by its pipes: what it has left in the
// background holds them, as a multiplexed ssh does, and would block an undo for ever.
const pipeTime = 2 * time.Second

// LocalShell runs a command on this machine. It ends with the command, or soon after ctx.
func LocalShell(ctx context.Context, _ string, stdin io.Reader, argv ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	cmd.WaitDelay = pipeTime
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) { // that one: the command itself has succeeded
		return nil, fmt.Errorf("%.80q on this machine: %w: %s", argv, err, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), nil
}

// Quote is a command as a line for a shell.
func Quote(argv []string) string {
	words := make([]string, len(argv))
	for n, a := range argv {
		words[n] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return strings.Join(words, " ")
}

// allCores is the set of all cores of this machine.
func allCores() string { return fmt.Sprintf("0-%d", runtime.NumCPU()-1) }
