package clusters

import (
	"context"
	"testing"
	"time"
)

// What a command leaves in the background holds its pipes.
func TestLocalShellDoesNotWaitForWhatStaysBehind(t *testing.T) {
	const stays, atMost = "20", 10 * time.Second
	began := time.Now()
	out, err := LocalShell(t.Context(), "", nil, "sh", "-c", "sleep "+stays+" & echo done")
	if took := time.Since(began); err != nil || string(out) != "done\n" || took > atMost {
		t.Errorf("got %q, %v after %s", out, err, took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began = time.Now()
	_, err = LocalShell(ctx, "", nil, "sh", "-c", "sleep "+stays+"; echo done")
	if took := time.Since(began); err == nil || took > atMost {
		t.Errorf("what is cut off: %v after %s", err, took)
	}
	if _, err := LocalShell(t.Context(), "", nil, "sh", "-c", "sleep "+stays+" & exit 3"); err == nil {
		t.Error("a command that failed and left something is taken for a success")
	}
}
