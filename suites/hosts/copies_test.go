package hosts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestCopyIsCompleteButForTheLastLine(t *testing.T) {
	written := []string{"a\n", "b\n", "c\n"}
	for text, complete := range map[string]bool{
		"a\nb\nc\n": true, "a\nb\n": true, "a\nb\nc": true, "a\nb\nc\nd\n": true,
		"a\n": false, "": false, "a\nc\n": false, "b\nc\n": false, "a\nb\nb\nc\n": false,
	} {
		c := &logCopy{}
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := c.completes(written); (err == nil) != complete {
			t.Errorf("%q: %v, want complete %t", text, err, complete)
		}
	}
	if err := (&logCopy{}).completes(nil); err == nil {
		t.Error("nothing was written, and an empty copy passes for complete")
	}
}

func TestLinesOfTheRuntime(t *testing.T) {
	log := "2026-01-02T03:04:05.6Z stdout F heartbeat 1 now\n2026-01-02T03:04:06.6Z stdout F heartbeat 2 now\n2026-01"
	var lines []string
	for _, line := range wholeLines(log) {
		lines = append(lines, said(line))
	}
	if want := []string{"heartbeat 1 now\n", "heartbeat 2 now\n"}; !slices.Equal(lines, want) {
		t.Errorf("got %q, want %q", lines, want)
	}
	if c := new(logCopy); strings.Contains(c.String(), "last") {
		t.Errorf("an empty copy has a last line: %s", c)
	}
}

func TestUnreachableIsNoOtherFailure(t *testing.T) {
	for name, c := range map[string]struct {
		err         error
		unreachable bool
	}{
		"told":             {nil, false},
		"nobody answers":   {fmt.Errorf("get: %w", context.DeadlineExceeded), true},
		"no route":         {apierrors.NewInternalError(errors.New("dial tcp: no route to host")), true},
		"no such pod":      {apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, "teller"), false},
		"no API to be had": {errors.New("connection refused"), false},
	} {
		if err := unreachable("the log", c.err); (err == nil) != c.unreachable {
			t.Errorf("%s: %v, want unreachable %t", name, err, c.unreachable)
		}
	}
}
