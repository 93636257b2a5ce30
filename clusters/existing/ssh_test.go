package existing

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"faultline/clusters"
)

// TestBySSH reaches a machine with the ssh program of this one, over the protocol itself: what
// a shell makes of the words on both sides has to come out right.
func TestBySSH(t *testing.T) {
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("there is no ssh here")
	}
	template := serveSSH(t)
	shell, err := ByCommand(template, []*clusters.Node{{Name: "n1", Address: "127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	in := strings.Repeat("line\x00\xff\n", 100_000)
	out, err := shell(t.Context(), "n1", strings.NewReader(in), "sh", "-c", `cat; echo "$1"; printf %s "$2"`, "sh", `it's "quoted" $HOME \ *`, "two\nlines")
	if want := in + "it's \"quoted\" $HOME \\ *\ntwo\nlines"; err != nil || string(out) != want {
		t.Errorf("got %d bytes that end with %q, %v", len(out), out[max(0, len(out)-60):], err)
	}
	if _, err := shell(t.Context(), "n1", nil, "sh", "-c", "echo bad >&2; exit 3"); err == nil || !strings.Contains(err.Error(), "exit status 3: bad") {
		t.Errorf("a failed command: %v", err)
	}
	stranger, err := ByCommand(strings.Replace(template, "known", "unknown", 1), []*clusters.Node{{Name: "n1", Address: "127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger(t.Context(), "n1", nil, "true"); err == nil || !strings.Contains(err.Error(), "exit status 255") {
		t.Errorf("a machine that is not known: %v", err)
	}
}

// serveSSH serves shells of this machine until the test ends, and returns how ssh gets there.
func serveSSH(t *testing.T) (template string) {
	t.Helper()
	folder := t.TempDir()
	host, user := newSigner(t, ""), newSigner(t, filepath.Join(folder, "key"))
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(key.Marshal(), user.PublicKey().Marshal()) {
			return nil, errors.New("a stranger")
		}
		return nil, nil
	}}
	config.AddHostKey(host)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	known := knownhosts.Line([]string{listener.Addr().String()}, host.PublicKey())
	if err := os.WriteFile(filepath.Join(folder, "known"), []byte(known+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serveShell(conn, config)
		}
	}()
	return fmt.Sprintf("ssh -F none -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=%s -i %s -p %d root@{address}",
		filepath.Join(folder, "known"), filepath.Join(folder, "key"), listener.Addr().(*net.TCPAddr).Port)
}

// newSigner makes a key, and keeps it where ssh can read it.
func newSigner(t *testing.T, path string) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if path == "" {
		return signer
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return signer
}

// serveShell answers one connection as sshd does: a shell reads the line of each session.
func serveShell(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for wanted := range channels {
		channel, requests, err := wanted.Accept()
		if err != nil {
			return
		}
		go func() {
			defer channel.Close()
			for r := range requests {
				var line struct{ Command string }
				isExec := r.Type == "exec" && ssh.Unmarshal(r.Payload, &line) == nil
				_ = r.Reply(isExec, nil)
				if isExec {
					runLine(channel, line.Command)
					return
				}
			}
		}()
	}
}

func runLine(channel ssh.Channel, line string) {
	cmd := exec.Command("sh", "-c", line)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = channel, channel, channel.Stderr()
	_ = cmd.Run()
	status := struct{ Status uint32 }{uint32(cmd.ProcessState.ExitCode())}
	_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(status))
}
