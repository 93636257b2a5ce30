package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// haproxy is a running HAProxy in master-worker mode: it reloads without
// dropping a connection.
type haproxy struct {
	path string // of its configuration
	cmd  *exec.Cmd
	died chan struct{} // closed when it ended
}

// use starts HAProxy with the configuration, or reloads it.
func (h *haproxy) use(config string) error {
	if err := os.WriteFile(h.path, []byte(config), 0o644); err != nil {
		return err
	}
	if out, err := exec.Command("haproxy", "-c", "-q", "-f", h.path).CombinedOutput(); err != nil {
		return fmt.Errorf("haproxy refuses its configuration: %w\n%s", err, out)
	}
	if h.cmd != nil {
		return h.cmd.Process.Signal(syscall.SIGUSR2)
	}
	cmd := exec.Command("haproxy", "-W", "-db", "-f", h.path)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return err
	}
	h.cmd, h.died = cmd, make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(h.died)
	}()
	return nil
}

// stop ends HAProxy; after two seconds by force.
func (h *haproxy) stop() {
	if h.cmd == nil {
		return
	}
	_ = h.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-h.died:
	case <-time.After(2 * time.Second):
		_ = h.cmd.Process.Kill()
	}
}
