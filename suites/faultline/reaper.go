package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"faultline/clusters"
	"faultline/clusters/engine"
	"faultline/clusters/kind"
)

// suiteVariable marks the suite's processes with their run: the reaper waits for them.
const suiteVariable = "FAULTLINE_SUITE"

// over is what a run that comes to its end tells its reaper.
const over = "over"

// reaper is a process of its own that removes what a run leaves, also when all of the
// run's processes are killed: it is told the run, and then waits for the end of its input,
// which the kernel brings about whatever becomes of this process.
type reaper struct {
	cmd   *exec.Cmd
	input io.WriteCloser
}

// startReaper starts a reaper in a session of its own, which no terminal interrupts. The verb
// is what it does in the end.
func startReaper(verb, run string) (*reaper, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, verb)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start what cleans up after a killed run: %w", err)
	}
	_, err = fmt.Fprintln(input, run)
	return &reaper{cmd, input}, err
}

// stop tells the reaper that the run is over, and waits until nothing of it is left.
func (r *reaper) stop() error {
	_, err := fmt.Fprintln(r.input, over)
	return errors.Join(err, r.input.Close(), r.cmd.Wait())
}

// awaitEnd waits until whoever started this process has ended. It returns the run, and
// whether that came to its end.
func awaitEnd() (run string, ended bool, err error) {
	// Whoever reads our words may be gone.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	words := bufio.NewScanner(os.Stdin)
	if !words.Scan() {
		return "", false, errors.New("no run was named: `faultline chaos` starts this by itself")
	}
	run = words.Text()
	for words.Scan() {
		ended = ended || words.Text() == over
	}
	return run, ended, nil
}

// reapGameday takes back what a game day that was killed has left on its cluster.
func reapGameday(ctx context.Context) error {
	run, ended, err := awaitEnd()
	if err != nil || ended {
		return err
	}
	return forget(context.WithoutCancel(ctx), run)
}

// reap is the reaper's own part. Of a run that was killed it also takes back the faults
// that outlive a cluster, and removes the private state.
func reap(ctx context.Context) error {
	run, ended, err := awaitEnd()
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	err = clusters.Await(ctx, time.Second, "the end of the suite", func(context.Context) error {
		if pids := suiteOf(run); len(pids) > 0 {
			return fmt.Errorf("the processes %v go on", pids)
		}
		return nil
	})
	if err != nil {
		return err
	}
	e, err := engine.Detect(ctx)
	if err == nil {
		err = kind.DeleteRun(ctx, e, run, func(format string, args ...any) { fmt.Printf(format+"\n", args...) })
	}
	if err != nil || ended {
		return err
	}
	return forget(ctx, run)
}

// suiteOf lists the processes that are marked as the suite's of a run.
func suiteOf(run string) []string {
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil
	}
	var pids []string
	for _, file := range files {
		environ, err := os.ReadFile(file)
		if err != nil {
			continue // it ended meanwhile, or is another user's
		}
		if strings.Contains("\x00"+string(environ), "\x00"+suiteVariable+"="+run+"\x00") {
			pids = append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return pids
}
