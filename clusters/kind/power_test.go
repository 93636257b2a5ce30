package kind

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pausing is an engine that refuses to pause as often as $refusals has lines, and says each.
const pausing = `#!/bin/sh
echo "$@" >> "$CALLS"
[ -s "$REFUSALS" ] || exit 0
head -n 1 "$REFUSALS" >&2
sed -i 1d "$REFUSALS"
exit 1
`

func TestFreezeTriesAgainOnlyWhatTheRuntimeGaveUp(t *testing.T) {
	const stuck = "OCI runtime pause failed: unable to freeze: unknown\n"
	for name, c := range map[string]struct {
		refusals string
		calls    int
		says     string
	}{
		"at once":             {"", 1, ""},
		"at the third try":    {strings.Repeat(stuck, 2), 3, ""},
		"never":               {strings.Repeat(stuck, 9), 5, "unable to freeze"},
		"it is gone":          {"No such container: n1\n", 1, "No such container"},
		"gone after one time": {stuck + "No such container: n1\n", 2, "No such container"},
	} {
		dir := t.TempDir()
		engine, calls, refusals := filepath.Join(dir, "engine"), filepath.Join(dir, "calls"), filepath.Join(dir, "refusals")
		for path, content := range map[string]string{engine: pausing, refusals: c.refusals} {
			if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		run := exec.CommandContext(t.Context(), "sh", "-c", freeze, "faultline", engine, "n1")
		run.Env = append(os.Environ(), "CALLS="+calls, "REFUSALS="+refusals)
		out, err := run.CombinedOutput()
		if (err == nil) != (c.says == "") || !strings.Contains(string(out), c.says) {
			t.Errorf("%s: %v, %q", name, err, out)
		}
		called, err := os.ReadFile(calls)
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.Repeat("pause n1\n", c.calls); string(called) != want {
			t.Errorf("%s: called %q, want %q", name, called, want)
		}
	}
}
