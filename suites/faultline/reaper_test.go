package main

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
)

func TestSuiteIsFoundByItsMark(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	cmd.Env = append(os.Environ(), suiteVariable+"=reaptest")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	// The mark is there once the kernel has executed the program.
	for range 1000 {
		if len(suiteOf("reaptest")) > 0 {
			break
		}
	}
	if pids := suiteOf("reaptest"); !slices.Equal(pids, []string{pid}) {
		t.Errorf("found %v, want %s", pids, pid)
	}
	if pids := suiteOf("reaptes"); len(pids) > 0 {
		t.Errorf("another run's processes are %v", pids)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if pids := suiteOf("reaptest"); len(pids) > 0 {
		t.Errorf("after its end: %v", pids)
	}
}
