package engine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	pidFile   = "/var/run/docker.pid"
	daemonLog = "/var/log/docker.log"

	// containerdPIDFile is that of dockerd's own containerd.
	containerdPIDFile = "/var/run/docker/containerd/containerd.pid"
)

// startDocker starts the daemon, with systemd where that is in charge and
// otherwise by hand, and waits until it answers.
func startDocker(ctx context.Context, options Options) (err error) {
	step := options.Progress.Step("start Docker", 5*time.Second)
	defer func() { step.Done(err) }()
	if underSystemd() {
		if _, err := run(command(ctx, "systemctl", "start", "docker")); err != nil {
			return fmt.Errorf("start Docker: %w", err)
		}
		return waitForDocker(ctx, nil)
	}
	for file, name := range map[string]string{pidFile: "dockerd", containerdPIDFile: "containerd"} {
		if err := removeStale(file, name); err != nil {
			return err
		}
	}
	died, err := spawnDockerd()
	if err != nil {
		return err
	}
	return waitForDocker(ctx, died)
}

// removeStale removes a PID file that a killed process of that name left. A
// daemon believes its old PID file when another process has the number now.
func removeStale(file, name string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil // there is none, or the daemon will say what is wrong with it
	}
	comm, err := os.ReadFile("/proc/" + strings.TrimSpace(string(text)) + "/comm")
	if err == nil && strings.TrimSpace(string(comm)) == name {
		return nil
	}
	if err := os.Remove(file); err != nil {
		return fmt.Errorf("remove the PID file of a %s that is gone: %w", name, err)
	}
	return nil
}

func underSystemd() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil
}

// spawnDockerd starts a daemon in a session of its own, so that it outlives
// this process and its terminal. The channel tells when it dies at once.
func spawnDockerd() (<-chan error, error) {
	log, err := os.OpenFile(daemonLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open the log of dockerd: %w", err)
	}
	defer log.Close()
	cmd := exec.Command("dockerd", "--pidfile", pidFile)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start dockerd: %w", err)
	}
	died := make(chan error, 1)
	go func() {
		_ = cmd.Wait()
		died <- fmt.Errorf("%s", cmd.ProcessState)
	}()
	return died, nil
}

// waitForDocker waits up to a minute for the daemon to answer.
func waitForDocker(ctx context.Context, died <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	e := newEngine("docker")
	poll := time.NewTicker(200 * time.Millisecond)
	defer poll.Stop()
	for {
		err := e.Ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case exit := <-died:
			return fmt.Errorf("dockerd exited at once: %w; the end of %s:\n%s", exit, daemonLog, tail(daemonLog, 10))
		case <-ctx.Done():
			return fmt.Errorf("dockerd does not answer, look into %s: %w", daemonLog, err)
		case <-poll.C:
		}
	}
}

// tail is the last lines of a file, as far as it can be read.
func tail(path string, lines int) string {
	text, _ := os.ReadFile(path)
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// reloadDockerd makes a running daemon read its configuration again. Running
// containers do not notice.
func reloadDockerd() error {
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return fmt.Errorf("find the process of dockerd: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("%s has no process id: %w", pidFile, err)
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("kill -HUP %d (dockerd): %w", pid, err)
	}
	return nil
}
