package fault

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// machine is a node that is switched from here, as a file that says whether it is on. To switch
// it off takes a while, in which the process that wanted it may die.
type machine struct{ id, file, off, on string }

func newMachine(t *testing.T) machine {
	t.Helper()
	if _, err := exec.LookPath("flock"); err != nil {
		t.Skip("this machine has no flock")
	}
	m := machine{id: fmt.Sprintf("armed-%d-%d", os.Getpid(), victims.Add(1)), file: filepath.Join(t.TempDir(), "state")}
	m.off = "echo begun > " + m.file + "; sleep 0.5; echo off > " + m.file
	m.on = "echo on > " + m.file
	return m
}

// run runs a command of a fault, and wants it to fail with the words, if there are any.
func (m machine) run(t *testing.T, argv []string, words string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput()
	if (err != nil) != (words != "") || !strings.Contains(string(out), words) {
		t.Errorf("got %v, %q; want it to fail with %q", err, out, words)
	}
}

func (m machine) state() string {
	text, _ := os.ReadFile(m.file)
	return strings.TrimSpace(string(text))
}

// effect is the machine's power taken away, as PowerOff does it.
func (m machine) effect() effect {
	return fromOutside(m.id, []string{"sh", "-c", m.off}, []string{"sh", "-c", m.on})
}

// TestTheUndoWaitsForAnActionUnderWay undoes while the engine's client, which has outlived its
// process, is about to act. Done at once, the undo would have been for nothing.
func TestTheUndoWaitsForAnActionUnderWay(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	e := m.effect()
	m.run(t, e.armCommands(time.Minute)[0], "")
	action := exec.Command(e.inject[0], e.inject[1:]...)
	if err := action.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); m.state() != "begun" && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
	}
	if err := action.Process.Kill(); err != nil { // the shell; the client goes on
		t.Fatal(err)
	}
	_ = action.Wait()
	m.run(t, e.undo, "")
	if m.state() != "on" {
		t.Errorf("after the undo it is %s", m.state())
	}
	m.run(t, e.inject, "is not armed on this machine, or not any more")
	m.run(t, e.undo, "")
	if left, _ := filepath.Glob("/tmp/faultline-undo-" + m.id + "*"); m.state() != "on" || len(left) > 0 {
		t.Errorf("in the end it is %s, and %q are left", m.state(), left)
	}
}

// TestTheTimerOfThisMachineTriesAgain lets the undo fail when the time is over.
func TestTheTimerOfThisMachineTriesAgain(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.on = "echo >> " + m.file + ".tries; [ -e " + m.file + ".mended ] && echo on > " + m.file
	e := m.effect()
	arming := e.armCommands(10 * time.Millisecond)[0]
	arming[2] = strings.Replace(arming[2], "sleep 15", "sleep 0.05", 1)
	m.run(t, arming, "")
	until := func(what string, done func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("still not %s", what)
			}
		}
	}
	until("tried twice", func() bool {
		tries, _ := os.ReadFile(m.file + ".tries")
		return len(tries) >= 2
	})
	if err := os.WriteFile(m.file+".mended", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	until("on", func() bool { return m.state() == "on" })
	until("gone", func() bool {
		left, _ := filepath.Glob("/tmp/faultline-undo-" + m.id + "*")
		return len(left) == 0
	})
}

// TestAnUndoThatFailsLeavesTheTimer wants the timer, the second chance of an undo, to end with
// the one that succeeds.
func TestAnUndoThatFailsLeavesTheTimer(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.on = "[ -e " + m.file + ".mended ] && echo on > " + m.file
	e := m.effect()
	m.run(t, e.armCommands(time.Hour)[0], "")
	m.run(t, e.inject, "")
	if exec.Command(e.undo[0], e.undo[1:]...).Run() == nil {
		t.Error("the undo succeeds")
	}
	m.run(t, e.inject, "is not armed")
	timer, err := os.ReadFile("/tmp/faultline-undo-" + m.id + ".undoing")
	if err != nil {
		t.Fatal(err)
	}
	waits := func() bool { // nobody may care for the remains of a process
		words, _ := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(timer)), "cmdline"))
		return len(words) > 0
	}
	if !waits() {
		t.Error("the timer has gone")
	}
	if err := os.WriteFile(m.file+".mended", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m.run(t, e.undo, "")
	if m.state() != "on" {
		t.Errorf("after the undo it is %s", m.state())
	}
	for end := time.Now().Add(10 * time.Second); waits() && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
	}
	if left, _ := filepath.Glob("/tmp/faultline-undo-" + m.id + "*"); waits() || len(left) > 0 {
		t.Errorf("the timer waits: %t; left are %q", waits(), left)
	}
}
