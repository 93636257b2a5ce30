package fault

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// standInEtcd is curl to two members, whose list is a file; it takes everything back.
const standInEtcd = `#!/bin/sh
list=$UNITS/../members
for url in "$@"; do :; done
while [ "$1" != --data ]; do shift; done
case "$url" in
  https://dead/*) exit 7 ;;
  */list) cat "$list" ;;
  */remove) jq --argjson body "$2" '.members |= map(select(.ID != $body.ID))' "$list" > "$list.new" && mv "$list.new" "$list" ;;
  */add) echo add >> "$UNITS/../log"
    jq --argjson body "$2" '.members += [{ID: "99", peerURLs: $body.peerURLs}]' "$list" > "$list.new" && mv "$list.new" "$list" ;;
esac
`

// standInStart lets the new member publish itself when its service or its pod starts.
const standInStart = `#!/bin/sh
case "$1 $2" in
  "stop faultline"*) rm -f "$UNITS/$2" ;;
  "stop etcd") echo stop >> "$UNITS/../log" ;;
  "set-environment ETCD_INITIAL_CLUSTER_STATE=existing") touch "$UNITS/environment" ;;
  "unset-environment ETCD_INITIAL_CLUSTER_STATE") rm -f "$UNITS/environment" ;;
  "start etcd")
    [ -e "$UNITS/environment" ] || exit 1
    [ ! -e "$UNITS/../etcd/member" ] || exit 1
    mkdir "$UNITS/../etcd/member"
    list=$UNITS/../members
    jq '.members |= map(if .ID == "99" then .name = "a" | .clientURLs = ["https://a"] else . end)' "$list" > "$list.new" && mv "$list.new" "$list" ;;
esac
`

const memberList = `{"members":[
  {"ID":"1","name":"a","peerURLs":["https://a:2380"],"clientURLs":["https://a"]},
  {"ID":"2","name":"b","peerURLs":["https://b:2380"],"clientURLs":["https://b"]},
  {"ID":"3","name":"c","peerURLs":["https://c:2380"],"clientURLs":["https://c"]}]}`

// needJQ skips a test on a machine without what every node has.
func needJQ(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("this machine has no jq, which every node has")
	}
}

// etcdSandbox has a member a that is a service, and its peers.
func etcdSandbox(t *testing.T) sandbox {
	t.Helper()
	needJQ(t)
	s := newSandbox(t)
	s.write("bin/curl", standInEtcd)
	s.write("bin/systemctl", standInStart)
	s.write("bin/crictl", "#!/bin/sh\n")
	s.write("members", memberList)
	if err := os.MkdirAll(s.path("etcd/member"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.write("etcd/member/db", "old")
	s.arm("m-0")
	return s
}

// Scripts that look for a process by its name must not find one outside of their sandbox:
// this machine may run a cluster.
func TestSandboxFindsItsOwnProcessesOnly(t *testing.T) {
	s := newSandbox(t)
	outside := exec.Command("sleep", "60")
	if err := outside.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = outside.Process.Kill(); _ = outside.Wait() })
	if out, err := s.run(t.Context(), nil, "sh", "-c", "pgrep -x sleep; pkill -x sleep"); err == nil || len(out) > 0 {
		t.Errorf("it found %q, %v", out, err)
	}
	s.start()
	if out, err := s.run(t.Context(), nil, "sh", "-c", "pgrep -x "+s.name); err != nil || len(out) == 0 {
		t.Errorf("its own process: %q, %v", out, err)
	}
}

func (s sandbox) removeMember() error {
	return s.script(removeMemberScript, "m-0", "1", "https://dead https://b")
}

// tries are numbers that a loop of the scripts counts.
func tries(from, to int) string {
	var all strings.Builder
	for n := from; n <= to; n++ {
		fmt.Fprintf(&all, " %d", n)
	}
	return all.String()
}

// rejoin undoes it; no etcd of this machine may be taken for the member.
func (s sandbox) rejoin(manifest string) error {
	translate := strings.NewReplacer("pgrep -x etcd", "pgrep -x no-such-etcd", tries(4, 40), "")
	return s.script(translate.Replace(rejoinScript), "m-0", "https://dead https://b", "a", "https://a:2380", s.path("etcd"), manifest, "etcd-a", "")
}

func TestScriptsTakeAMemberBack(t *testing.T) {
	s := etcdSandbox(t)
	if err := s.removeMember(); err != nil || strings.Contains(s.read("members"), `"1"`) {
		t.Fatalf("removed: %v, %s", err, s.read("members"))
	}
	if err := errors.Join(s.rejoin(""), s.rejoin("")); err != nil {
		t.Fatal(err)
	}
	if log := s.read("log"); log != "stop\nadd\n" {
		t.Errorf("it did %q, want it to stop and add once", log)
	}
	if s.read("etcd/member/db") != "" || len(s.leftovers()) > 0 {
		t.Errorf("the old data is %q, left over %v", s.read("etcd/member/db"), s.leftovers())
	}
	if _, err := os.Stat(s.path("etcd/.faultline-m-0")); err == nil {
		t.Error("the old data is left")
	}
}

func TestScriptsLeaveAMemberThatWasNotRemoved(t *testing.T) {
	s := etcdSandbox(t)
	if err := s.rejoin(""); err != nil || s.read("log") != "" || s.read("etcd/member/db") != "old" || len(s.leftovers()) > 0 {
		t.Errorf("%v; it did %q, data %q, left over %v", err, s.read("log"), s.read("etcd/member/db"), s.leftovers())
	}
}

// TestScriptsGoOnToTakeAMemberBack continues an undo that was killed after it had put the
// old data aside, and one that had also added the member, which had begun to write.
func TestScriptsGoOnToTakeAMemberBack(t *testing.T) {
	for name, c := range map[string]struct{ members, data, log string }{
		"before it was added": {strings.Replace(memberList, `"https://a:2380"`, `"https://z:2380"`, 1), "", "stop\nadd\n"},
		"after it was added":  {strings.Replace(memberList, `"name":"a","peerURLs":["https://a:2380"],"clientURLs":["https://a"]`, `"peerURLs":["https://a:2380"]`, 1), "", "stop\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s := etcdSandbox(t)
			s.write("members", strings.Replace(c.members, `"ID":"1"`, `"ID":"99"`, 1))
			if err := os.Rename(s.path("etcd/member"), s.path("etcd/.faultline-m-0")); err != nil {
				t.Fatal(err)
			}
			if err := s.rejoin(""); err != nil || s.read("log") != c.log || len(s.leftovers()) > 0 {
				t.Errorf("%v; it did %q, want %q, left over %v", err, s.read("log"), c.log, s.leftovers())
			}
		})
	}
}

// TestScriptsRewriteAMembersManifest looks at the manifest, which nobody starts here.
func TestScriptsRewriteAMembersManifest(t *testing.T) {
	s := etcdSandbox(t)
	s.write("kubernetes/manifests/etcd.yaml", "    - etcd\n    - --initial-cluster=a=https://a:2380\n    - --name=a\n")
	if err := s.removeMember(); err != nil {
		t.Fatal(err)
	}
	if err := s.rejoin("/etc/kubernetes/manifests/etcd.yaml"); err == nil || !strings.Contains(err.Error(), "does not start") {
		t.Errorf("nobody starts it: got %v", err)
	}
	want := "    - etcd\n    - --initial-cluster=b=https://b:2380,c=https://c:2380,a=https://a:2380\n    - --initial-cluster-state=existing\n    - --name=a\n"
	for range 2 { // the second time it finds its own
		if got := s.read("kubernetes/manifests/etcd.yaml"); got != want {
			t.Errorf("the manifest is %q, want %q", got, want)
		}
		_ = s.rejoin("/etc/kubernetes/manifests/etcd.yaml")
	}
	if log := s.read("log"); log != "add\n" {
		t.Errorf("it did %q", log)
	}
}
