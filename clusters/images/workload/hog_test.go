package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

func TestHogTakesMemory(t *testing.T) {
	var out bytes.Buffer
	if kept := take(t.Context(), 3, &out); len(kept) != 3 || len(kept[2]) != 1<<20 {
		t.Errorf("it has %d blocks", len(kept))
	}
	if !strings.HasSuffix(out.String(), "has 2 MiB\nhas 3 MiB\n") {
		t.Errorf("it says %q", out.String())
	}
}

func TestHogEnds(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	if err := hog(ended, []string{"-cpu", "-memory", "1"}); err != nil {
		t.Error(err)
	}
	if err := hog(ended, []string{"-appetite", "2"}); err == nil {
		t.Error("it takes any flag")
	}
}
