package engine

import (
	"errors"
	"strings"
	"testing"
)

func TestDetect(t *testing.T) {
	installed := func(names ...string) func(string) string {
		return func(binary string) string {
			for _, name := range names {
				if name == binary {
					banner := map[string]string{"docker": "Docker version 28.2.2, build x", "nerdctl": "nerdctl version 2.0", "finch": "finch version v1", "podman": "podman version 5.0"}
					return banner[name]
				}
			}
			return ""
		}
	}
	for _, c := range []struct {
		wanted string
		has    []string
		want   string
	}{
		{"", []string{"docker", "podman"}, "docker"},
		{"", []string{"podman", "nerdctl"}, "nerdctl"},
		{"", []string{"podman", "finch"}, "finch"},
		{"", []string{"podman"}, "podman"},
		{"podman", []string{"docker", "podman"}, "podman"},
		{"nerdctl.lima", []string{"docker"}, "nerdctl.lima"},
		{"rubbish", []string{"docker"}, "docker"}, // as kind does
	} {
		e, err := detect(c.wanted, installed(c.has...))
		if err != nil || e.Name() != c.want {
			t.Errorf("detect(%q, %v) = %v, %v; want %s", c.wanted, c.has, e, err, c.want)
		}
	}
	if _, err := detect("", installed()); !errors.Is(err, ErrNone) {
		t.Errorf("nothing installed: %v", err)
	}
	if _, err := detect("", func(string) string { return "podman-docker shim" }); !errors.Is(err, ErrNone) {
		t.Errorf("a stranger under a known name: %v", err)
	}
}

func TestCommandErrorCanBePasted(t *testing.T) {
	err := &CommandError{Argv: []string{"docker", "exec", "node", "sh", "-c", "echo 'it''s' $HOME", ""}, Stderr: "no such container", Err: errors.New("exit status 1")}
	want := `docker exec node sh -c 'echo '\''it'\'''\''s'\'' $HOME' '': exit status 1: no such container`
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
}

func TestRunTellsWhatFailed(t *testing.T) {
	_, err := run(command(t.Context(), "sh", "-c", "echo out; echo why >&2; exit 3"))
	var failed *CommandError
	if !errors.As(err, &failed) || failed.Stderr != "why" || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("err = %v", err)
	}
	if _, err := run(command(t.Context(), "no-such-program-anywhere")); !errors.As(err, &failed) {
		t.Errorf("err = %v", err)
	}
}
