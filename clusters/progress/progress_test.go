package progress

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestNilPrintsNothing(t *testing.T) {
	var p *Printer
	p.Printf("nobody reads this")
	s := p.Step("nothing", time.Second)
	s.Update("still nothing")
	s.Done(nil)
	p.Step("another", 0).End()
}

func TestPlainLines(t *testing.T) {
	var out bytes.Buffer
	p := New(&out)
	s := p.Step("build etcd", 25*time.Second)
	p.Printf("by the way")
	s.Done(nil)
	p.Step("build runc", 0).Done(errors.New("no compiler"))

	want := []string{
		"· build etcd (about 25s)",
		"by the way",
		"✓ build etcd (0s)",
		"· build runc",
		"✗ build runc (failed after 0s)",
	}
	if got := strings.Split(strings.TrimSpace(out.String()), "\n"); strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("printed\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAStepThatEndsWithoutAWord(t *testing.T) {
	var out bytes.Buffer
	p := New(&out)
	p.terminal = true
	p.Step("e101 on a cluster", time.Minute).End()
	if got := out.String(); !strings.Contains(got, "e101") || !strings.HasSuffix(got, "\r\x1b[2K") {
		t.Errorf("printed %q, want a line that is wiped at last", got)
	}
	if p.tick != nil || len(p.active) > 0 {
		t.Error("the printer goes on when the last step has ended")
	}
}

func TestReminder(t *testing.T) {
	var out bytes.Buffer
	p := New(&out)
	s := p.Step("build kube-apiserver", 300*time.Second)
	s.Update("package 10 of 2863")
	p.beat(s.started.Add(29 * time.Second))
	p.beat(s.started.Add(60 * time.Second))
	s.Done(nil)

	if want := "still at it: build kube-apiserver, 60s of about 300s, package 10 of 2863"; strings.Count(out.String(), "still at it") != 1 || !strings.Contains(out.String(), want) {
		t.Errorf("printed %q, want exactly one reminder %q", out.String(), want)
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1234 * time.Millisecond: "1.2s",
		59*time.Second + 700e6:  "60s",
		5 * time.Minute:         "300s",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestClip(t *testing.T) {
	if got := clip("⠋ abcdef", 4); got != "⠋ ab" {
		t.Errorf("clip = %q", got)
	}
}
