package existing

import (
	"strings"
	"testing"

	"faultline/clusters"
)

func TestByCommand(t *testing.T) {
	nodes := []*clusters.Node{{Name: "n1", Address: "10.0.0.1"}}
	// A stand-in for ssh: it joins its words, and a shell reads them.
	shell, err := ByCommand(`say() { echo "at $1:"; shift; sh -c "$*"; }; say root@{address}`, nodes)
	if err != nil {
		t.Fatal(err)
	}
	out, err := shell(t.Context(), "n1", strings.NewReader("in"), "sh", "-c", `cat; echo " $1"`, "sh", `it's "quoted" $HOME`)
	if want := "at root@10.0.0.1:\nin it's \"quoted\" $HOME\n"; err != nil || string(out) != want {
		t.Errorf("got %q, %v, want %q", out, err, want)
	}
	if _, err := shell(t.Context(), "n1", nil, "sh", "-c", "echo bad >&2; exit 3"); err == nil || !strings.Contains(err.Error(), "exit status 3: bad") {
		t.Errorf("a failed command: %v", err)
	}
	if _, err := shell(t.Context(), "n2", nil, "true"); err == nil || !strings.Contains(err.Error(), `"n2"`) {
		t.Errorf("an unknown node: %v", err)
	}
	if _, err := ByCommand("ssh somewhere", nodes); err == nil || !strings.Contains(err.Error(), "{address}") {
		t.Errorf("a command that names no node: %v", err)
	}
}
