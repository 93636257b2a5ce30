package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"
)

func TestOnlyAYesIsOne(t *testing.T) {
	for typed, want := range map[string]bool{"yes\n": true, " yes \n": true, "yes": true, "y\n": false, "\n": false, "": false, "no\nyes\n": false} {
		if got := saidYes(t.Context(), strings.NewReader(typed)); got != want {
			t.Errorf("%q is taken for a yes: %t", typed, got)
		}
	}
}

// What is typed after the answer is for the day.
func TestAYesTakesOneLine(t *testing.T) {
	typed := strings.NewReader("yes\napprove\n")
	if !saidYes(t.Context(), typed) {
		t.Error("a yes is none")
	}
	if rest, _ := io.ReadAll(typed); string(rest) != "approve\n" {
		t.Errorf("left is %q", rest)
	}
}

func TestAnInterruptEndsTheQuestion(t *testing.T) {
	silent, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if saidYes(ctx, silent) {
		t.Error("an interrupt is taken for a yes")
	}
}
