package recovery

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"faultline/clusters"
)

// A phase that fails ends the script: what follows would be signed by nobody.
func TestPhasesRunInTurn(t *testing.T) {
	dir := t.TempDir()
	stub := "#!/bin/sh\necho \"$*\" >> " + dir + "/asked\n[ \"$4\" != bad ]\n"
	if err := os.WriteFile(filepath.Join(dir, "kubeadm"), []byte(stub), 0o755); err != nil {
		t.Fatal(err)
	}
	script := exec.CommandContext(t.Context(), "sh", "-c", phases("certs ca", "certs bad", "certs never"), "sh", "/a/config")
	script.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
	if out, err := script.CombinedOutput(); err == nil || len(out) > 0 {
		t.Errorf("it ended with %v, and said %q", err, out)
	}
	asked, err := os.ReadFile(filepath.Join(dir, "asked"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "init phase certs ca --config=/a/config\ninit phase certs bad --config=/a/config\n"; string(asked) != want {
		t.Errorf("got\n%swant\n%s", asked, want)
	}
}

func TestScriptsParse(t *testing.T) {
	for _, script := range []string{
		clusterAuthority.anew, frontProxy.anew, kubeletClient.anew, saveScript, loseScript, kubeletScript, serverScript,
		copyScript, fromSnapshotScript, startCopyScript, removeCopiesScript, lastWordsScript, volumesScript,
		backupScript, restoreScript, restoreAuthoritiesScript, forceScript, forgetScript, inviteScript, joinScript,
		reclaimScript, replaceScript, renewScript,
	} {
		parse := exec.CommandContext(t.Context(), "sh", "-n")
		parse.Stdin = strings.NewReader(script)
		if out, err := parse.CombinedOutput(); err != nil {
			t.Errorf("%v: %s\n%s", err, out, script)
		}
	}
}

func TestExchangeKeepsBothAnswers(t *testing.T) {
	master, worker := &clusters.Node{Name: "m"}, &clusters.Node{Name: "w", Address: "10.0.0.2"}
	c := &clusters.Cluster{Nodes: []*clusters.Node{master, worker}}
	c.Reach(func(_ context.Context, node string, _ io.Reader, argv ...string) ([]byte, error) {
		if node == "w" && argv[len(argv)-1] == "w" {
			return []byte("401 60\n"), nil
		}
		if node == "m" && argv[len(argv)-1] == "10.0.0.2" {
			return []byte("401\n"), nil
		}
		return nil, os.ErrInvalid
	})
	if answers, err := exchange(t.Context(), master, worker); err != nil || answers != strangers.answers {
		t.Errorf("got %q, %v", answers, err)
	}
	if answers, err := exchange(t.Context(), worker, master); err == nil || answers == friends.answers {
		t.Errorf("got %q of those who did not answer, %v", answers, err)
	}
}
