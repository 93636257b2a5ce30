package recovery

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a folder that runbooks take for a machine: a master with a member of etcd. What they
// call is played by stand-ins that say what the variables tell; openssl and tar are real.
type machine struct {
	t         *testing.T
	root      string
	variables map[string]string
}

// standIns are the programs that runbooks call.
var standIns = map[string]string{
	"hostname":  `echo "$NAME"`,
	"sleep":     `:`,
	"df":        `printf 'Filesystem\ndisk 0 0 %s\n' "$FREE"`,
	"systemctl": `echo "$*" >> "$ROOT/asked"`,
	"curl":      `case "$*" in */livez) echo "$LIVEZ" ;; *) echo "$READYZ" ;; esac`,
	"etcdutl": `case "$*" in
version) echo "etcdutl version: $ETCD" ;;
"snapshot status"*) [ "$(cat "$3")" != damaged ] && echo '{"revision":7}' ;;
"snapshot restore"*) mkdir -p "$5/member" ;;
esac`,
	"etcdctl": `[ "$MAJORITY" ] || { grep -q -s -e --force-new-cluster "$ROOT/etc/kubernetes/manifests/etcd.yaml" || exit 1; }
case "$*" in
*"snapshot save"*) shift 6; [ "$SNAPSHOT" ] && printf %s "$SNAPSHOT" > "$1" ;;
*"member list") printf '%b' "$MEMBERS" ;;
*"alarm list"*) cat "$ROOT/alarms" ;;
*"endpoint status"*) printf '"Revision" : 7\n"DBSize" : %s\n"DBSizeQuota" : 100\n' "$SIZE" ;;
*"alarm disarm"*) : > "$ROOT/alarms" ;;
*"member remove"* | *compact* | *defrag*) echo "$*" >> "$ROOT/asked" ;;
esac`,
	"kubectl": `case "$*" in
*"get nodes"*field-selector*) echo "$NODES" | tr ' ' '\n' | grep -x "node/$(echo "$*" | sed 's/.*metadata.name=\([^ ]*\).*/\1/')" || true ;;
*"get nodes"*) echo "$NODES" | tr ' ' '\n' ;;
*"get node "*) printf 10.0.0.9 ;;
*delete*) echo "$*" >> "$ROOT/asked" ;;
esac`,
	"crictl":  `case "$*" in ps*) echo "$4" ;; stop*) echo "$*" >> "$ROOT/asked" ;; esac`,
	"findmnt": `[ "$PROFILE" ] && echo "$ROOT/var/lib/etcd" || true`,
	"btrfs": `case "$*" in
"filesystem df"*) echo "Data, $PROFILE: total=1, used=0" ;;
"filesystem show"*) printf '\tdevid 1 size 100 used 1 path /dev/a\n\tdevid 2 size 100 used 1 path /dev/b\n' ;;
"device stats -z"* | replace* | balance* | scrub*) echo "$*" >> "$ROOT/asked" ;;
"device stats"*) printf '[<missing disk>].write_io_errs 3\n[/dev/a].write_io_errs %s\n[/dev/b].write_io_errs %s\n' $ERRORS ;;
"device usage"*) printf '%s, ID: 1\n   Device size: 1\n/dev/b, ID: 2\n' "$FIRST" ;;
esac`,
	"blkid":    `exit "$BLANK"`,
	"blockdev": `echo "$BYTES"`,
	"kubeadm":  `echo "$*" >> "$ROOT/asked"; touch "$ROOT/etc/kubernetes/manifests/etcd.yaml"`,
}

const authorityFiles = "ca.crt ca.key front-proxy-ca.crt front-proxy-ca.key sa.pub sa.key etcd/ca.crt etcd/ca.key etcd/server.crt"

// newMachine is a healthy master of three.
func newMachine(t *testing.T) *machine {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("this machine has no openssl, which every node has")
	}
	m := &machine{t: t, root: t.TempDir()}
	m.variables = map[string]string{
		"ROOT": m.root, "PATH": m.root + "/bin:/usr/bin:/bin", "TMPDIR": m.root + "/tmp",
		"NAME": "m1", "FREE": "1000000", "LIVEZ": "ok", "READYZ": "ok", "ETCD": "3.7.0", "MAJORITY": "yes", "SNAPSHOT": "everything",
		"NODES":   "node/m1 node/m2 node/m3",
		"MEMBERS": `1, started, m1, p, c, false\n2, started, m2, p, c, false\n3, started, m3, p, c, false\n`,
	}
	for name, text := range standIns {
		m.write("bin/"+name, "#!/bin/sh\n"+text+"\n")
	}
	for name := range strings.FieldsSeq(authorityFiles) {
		m.write("etc/kubernetes/pki/"+name, name)
	}
	m.write("etc/kubernetes/manifests/etcd.yaml", "spec:\n    - etcd\n    - --name=m1\n")
	m.write("var/lib/etcd/member/data", "of before")
	m.write("var/lib/kubelet/config.yaml", "of before")
	m.write("root/none", "")
	m.write("var/log/none", "")
	m.write("tmp/none", "")
	return m
}

func (m *machine) write(path, content string) {
	m.t.Helper()
	path = filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) read(path string) string {
	m.t.Helper()
	content, err := os.ReadFile(filepath.Join(m.root, path))
	if err != nil {
		m.t.Fatal(err)
	}
	return string(content)
}

func (m *machine) remove(path string) {
	m.t.Helper()
	if err := os.RemoveAll(filepath.Join(m.root, path)); err != nil {
		m.t.Fatal(err)
	}
}

// run runs a runbook. Arguments are paths on the machine or words.
func (m *machine) run(script string, args ...string) (said string, err error) {
	for _, path := range []string{"/etc/kubernetes", "/var/lib/", "/var/log/", "/run/systemd"} {
		script = strings.ReplaceAll(script, path, m.root+path)
	}
	for i, arg := range args {
		if strings.HasPrefix(arg, "/") {
			args[i] = m.root + arg
		}
	}
	cmd := exec.CommandContext(m.t.Context(), "sh", append([]string{"-s", "--"}, args...)...)
	cmd.Stdin = strings.NewReader(script)
	for name, value := range m.variables {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// content is all files and folders of the machine.
func (m *machine) content() map[string]string {
	m.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(m.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			all[path] = "folder"
			return err
		}
		content, err := os.ReadFile(path)
		all[path] = fmt.Sprintf("%x", sha256.Sum256(content))
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return all
}

// refusals are what a runbook must not do, each with what it says then.
type refusals map[string]struct {
	change    func(*machine)
	args      []string
	complaint string
}

// refuse holds that a runbook refuses before it changes anything, and that without the change it
// does not.
func (r refusals) refuse(t *testing.T, script string, prepare func(*testing.T) *machine, args ...string) *machine {
	t.Helper()
	for name, c := range r {
		m := prepare(t)
		if c.change != nil {
			c.change(m)
		}
		if c.args == nil {
			c.args = append([]string{}, args...)
		}
		before := m.content()
		said, err := m.run(script, c.args...)
		if err == nil || !strings.Contains(said, c.complaint) {
			t.Errorf("%s: it ends with %v and says %q, want %q", name, err, said, c.complaint)
		}
		if after := m.content(); !maps.Equal(before, after) {
			t.Errorf("%s: it has changed the machine", name)
		}
	}
	m := prepare(t)
	if said, err := m.run(script, append([]string{}, args...)...); err != nil {
		t.Errorf("it refuses what is right: %v: %s", err, said)
	}
	return m
}

func with(name, value string) func(*machine) {
	return func(m *machine) { m.variables[name] = value }
}

func lacking(path string) func(*machine) { return func(m *machine) { m.remove(path) } }

func having(path, content string) func(*machine) {
	return func(m *machine) { m.write(path, content) }
}

// testKeys are a key and a certificate to encrypt for it.
func testKeys(t *testing.T) (key, certificate []byte) {
	t.Helper()
	key, certificate, err := keyPair()
	if err != nil {
		t.Fatal(err)
	}
	return key, certificate
}

func TestBackupRefuses(t *testing.T) {
	_, certificate := testKeys(t)
	prepare := func(t *testing.T) *machine {
		m := newMachine(t)
		m.write("root/backup.pem", string(certificate))
		return m
	}
	m := refusals{
		"no certificate":             {lacking("root/backup.pem"), nil, "there is no certificate"},
		"no member of etcd":          {lacking("etc/kubernetes/pki/etcd/server.crt"), nil, "no member of etcd"},
		"etcd without a majority":    {with("MAJORITY", ""), nil, "gave no snapshot"},
		"no room for the snapshot":   {with("SNAPSHOT", ""), nil, "gave no snapshot"},
		"a snapshot that is damaged": {with("SNAPSHOT", "damaged"), nil, ""},
		"no room for the archive":    {having("bin/openssl", "#!/bin/sh\necho part > \"${10}\"\nexit 1\n"), nil, ""},
		"a certificate that is none": {having("root/backup.pem", "none"), nil, ""},
		"a missing argument":         {nil, []string{"/root/backup.archive"}, "usage"},
	}.refuse(t, backupScript, prepare, "/root/backup.archive", "/root/backup.pem")
	if strings.Contains(m.read("root/backup.archive"), "everything") {
		t.Error("whoever has the archive can read it")
	}
}

// lostMaster is a machine to restore, with the archive of a machine that has been changed.
func lostMaster(t *testing.T, key, certificate []byte, change func(*machine)) *machine {
	t.Helper()
	was := newMachine(t)
	was.write("root/backup.pem", string(certificate))
	change(was)
	if said, err := was.run(backupScript, "/root/backup.archive", "/root/backup.pem"); err != nil {
		t.Fatalf("back up: %v: %s", err, said)
	}
	m := newMachine(t)
	m.variables["LIVEZ"] = ""
	m.write("root/backup.archive", was.read("root/backup.archive"))
	m.write("root/backup.key", string(key))
	return m
}

func TestRestoreRefuses(t *testing.T) {
	key, certificate := testKeys(t)
	other, _ := testKeys(t)
	asIs := func(*machine) {}
	prepare := func(t *testing.T) *machine { return lostMaster(t, key, certificate, asIs) }
	archiveOf := func(change func(*machine)) func(*machine) {
		return func(m *machine) {
			m.write("root/backup.archive", lostMaster(t, key, certificate, change).read("root/backup.archive"))
		}
	}
	archive := func(change func(string) string) func(*machine) {
		return func(m *machine) { m.write("root/backup.archive", change(m.read("root/backup.archive"))) }
	}
	m := refusals{
		"a control plane that is alive": {with("LIVEZ", "ok"), nil, "is alive"},
		"no archive":                    {lacking("root/backup.archive"), nil, "missing or empty"},
		"an empty archive":              {having("root/backup.archive", ""), nil, "missing or empty"},
		"an archive that was cut":       {archive(func(s string) string { return s[:len(s)/2] }), nil, "cannot be decrypted"},
		"an archive with another byte": {archive(func(s string) string {
			return s[:len(s)/2] + string(s[len(s)/2]^1) + s[len(s)/2+1:]
		}), nil, "cannot be decrypted"},
		"no key":                            {lacking("root/backup.key"), nil, "there is no key"},
		"another key":                       {having("root/backup.key", string(other)), nil, "another key"},
		"another cluster's archive":         {archiveOf(having("etc/kubernetes/pki/ca.crt", "another")), nil, "of another cluster"},
		"another node's archive":            {archiveOf(with("NAME", "m2")), nil, "is of node m2"},
		"the archive of a newer etcd":       {archiveOf(with("ETCD", "3.10.0")), nil, "newer than 3.7.0"},
		"a snapshot that was damaged since": {func(m *machine) { m.write("bin/etcdutl", "#!/bin/sh\n[ \"$2\" != status ]\n") }, nil, "is damaged"},
		"too little disk":                   {with("FREE", "0"), nil, "0 KiB free"},
		"a missing argument":                {nil, []string{"/root/backup.archive"}, "usage"},
	}.refuse(t, restoreScript, prepare, "/root/backup.archive", "/root/backup.key")
	if _, err := os.Stat(filepath.Join(m.root, "var/lib/etcd/member/data")); err == nil {
		t.Error("the data of before is still in place")
	}
	if kept, err := filepath.Glob(filepath.Join(m.root, "var/lib/etcd/before-restore-*/member/data")); err != nil || len(kept) != 1 {
		t.Errorf("the data of before is kept %d times", len(kept))
	}
}

func TestForceRefuses(t *testing.T) {
	prepare := func(t *testing.T) *machine {
		m := newMachine(t)
		m.variables["MAJORITY"] = ""
		// It answers when it is told to be alone, and goes on when the flag is away.
		m.write("bin/sleep", "#!/bin/sh\n[ \"$1\" != 5 ] || printf '#!/bin/sh\\n' > \"$ROOT/bin/etcdctl\"\n")
		return m
	}
	m := refusals{
		"a member with a majority": {with("MAJORITY", "yes"), nil, "has a majority: nothing was changed"},
		"an argument":              {nil, []string{"m1"}, "usage"},
	}.refuse(t, forceScript, prepare)
	if strings.Contains(m.read("etc/kubernetes/manifests/etcd.yaml"), "force") {
		t.Error("the flag has stayed")
	}
}

func TestForgetRefuses(t *testing.T) {
	prepare := func(t *testing.T) *machine {
		m := newMachine(t)
		m.variables["LIVEZ"] = ""
		return m
	}
	cases := refusals{
		"a name that nobody has":      {nil, []string{"nobody"}, "no member nobody"},
		"a worker":                    {nil, []string{"w1"}, "no member w1"},
		"this node":                   {nil, []string{"m1"}, "is this node"},
		"a master that is alive":      {with("LIVEZ", "ok"), nil, "is alive"},
		"etcd without a majority":     {with("MAJORITY", ""), nil, "etcd does not answer"},
		"an API that does not answer": {having("bin/kubectl", "#!/bin/sh\nexit 1\n"), nil, "the API does not answer"},
		"a missing argument":          {nil, []string{}, "usage"},
	}
	m := cases.refuse(t, forgetScript, prepare, "m2")
	if asked := m.read("asked"); !strings.Contains(asked, "member remove 2") || !strings.Contains(asked, "delete node m2") {
		t.Errorf("it asked for %q", asked)
	}
	m = refusals{}.refuse(t, forgetScript, func(t *testing.T) *machine {
		m := prepare(t)
		m.variables["MEMBERS"] = `1, started, m1, p, c, false\n`
		return m
	}, "m2")
	if asked := m.read("asked"); strings.Contains(asked, "member remove") || !strings.Contains(asked, "delete node m2") {
		t.Errorf("for a node whose member is gone already it asked for %q", asked)
	}
}

func TestInviteRefuses(t *testing.T) {
	m := refusals{
		"etcd without a majority":             {with("MAJORITY", ""), nil, "etcd does not answer"},
		"an API that does not answer":         {having("bin/kubectl", "#!/bin/sh\nexit 1\n"), nil, "the API does not answer"},
		"a node without a member":             {lacking("etc/kubernetes/manifests/etcd.yaml"), nil, "no member of etcd"},
		"an etcd that is still told to force": {having("etc/kubernetes/manifests/etcd.yaml", "    - etcd\n    - --force-new-cluster\n"), nil, "finish force-new-cluster.sh"},
		"a lost master with its node only":    {with("MEMBERS", `1, started, m1, p, c, false\n`), nil, "forget the lost ones"},
		"a lost master with its member only":  {with("NODES", "node/m1 node/m2"), nil, "forget the lost ones"},
		"a member that has not started":       {with("MEMBERS", `1, started, m1, p, c, false\n2, unstarted, , p, , false\n`), nil, "waits for a member to start or to vote: 2"},
		"a member that does not vote yet":     {with("MEMBERS", `1, started, m1, p, c, false\n2, started, m2, p, c, true\n`), nil, "waits for a member to start or to vote: m2"},
		"an authority that is missing":        {lacking("etc/kubernetes/pki/etcd/ca.key"), nil, "etcd/ca.key"},
		"a missing argument":                  {nil, []string{}, "usage"},
	}.refuse(t, inviteScript, newMachine, "/root/authorities.tar")
	if !strings.Contains(m.read("root/authorities.tar"), "front-proxy-ca.key") {
		t.Error("the archive has no authorities")
	}
	if found, err := os.Stat(filepath.Join(m.root, "root/authorities.tar")); err != nil || found.Mode().Perm() != 0o600 {
		t.Errorf("others may read the authorities: %v, %v", found.Mode(), err)
	}
}

func TestJoinRefuses(t *testing.T) {
	host := newMachine(t)
	if said, err := host.run(inviteScript, "/root/authorities.tar"); err != nil {
		t.Fatalf("invite: %v: %s", err, said)
	}
	prepare := func(t *testing.T) *machine {
		m := newMachine(t)
		m.remove("etc/kubernetes")
		m.remove("var/lib/etcd/member")
		m.write("etc/kubernetes/manifests/none", "")
		m.remove("etc/kubernetes/manifests/none")
		m.write("root/authorities.tar", host.read("root/authorities.tar"))
		return m
	}
	m := refusals{
		"no archive":                      {lacking("root/authorities.tar"), nil, "missing or empty"},
		"an archive that is none":         {having("root/authorities.tar", "none"), nil, "is damaged"},
		"an archive that was cut":         {func(m *machine) { m.write("root/authorities.tar", host.read("root/authorities.tar")[:1100]) }, nil, "the archive"},
		"a machine with a control plane":  {having("etc/kubernetes/manifests/etcd.yaml", ""), nil, "has a control plane"},
		"a machine with the data of etcd": {having("var/lib/etcd/member/data", ""), nil, "has the data of an etcd"},
		"a missing argument":              {nil, []string{"/root/authorities.tar"}, "usage"},
	}.refuse(t, joinScript, prepare, "/root/authorities.tar", "m1:6443", "--control-plane")
	if asked := m.read("asked"); asked != "join m1:6443 --control-plane\n" {
		t.Errorf("it asked for %q", asked)
	}
	if m.read("etc/kubernetes/pki/etcd/ca.key") != "etcd/ca.key" {
		t.Error("the authorities are not in place")
	}
}

func TestReclaimRefuses(t *testing.T) {
	full := func(t *testing.T) *machine {
		m := newMachine(t)
		m.write("alarms", "memberID:1 alarm:NOSPACE \n")
		m.variables["SIZE"] = "10"
		return m
	}
	m := refusals{
		"an etcd with space":       {having("alarms", ""), nil, "no member is out of space"},
		"a member that is corrupt": {having("alarms", "memberID:1 alarm:NOSPACE \nmemberID:2 alarm:CORRUPT \n"), nil, "is corrupt"},
		"etcd without a majority":  {with("MAJORITY", ""), nil, "etcd does not answer"},
		"an argument":              {nil, []string{"m1"}, "usage"},
	}.refuse(t, reclaimScript, full)
	asked := m.read("asked")
	if !strings.Contains(asked, "compact --physical 7") || strings.Count(asked, "defrag") != 3 || m.read("alarms") != "" {
		t.Errorf("it asked for %q, and the alarms are %q", asked, m.read("alarms"))
	}
	m = full(t)
	m.variables["SIZE"] = "100"
	if said, err := m.run(reclaimScript); err == nil || !strings.Contains(said, "too much") || m.read("alarms") == "" {
		t.Errorf("it disarms the alarm of an etcd that is as full as before: %v: %s", err, said)
	}
}

func TestReplaceDeviceRefuses(t *testing.T) {
	// A test has no block device.
	script := strings.Replace(replaceScript, `[ -b "$new" ]`, `[ -e "$new" ]`, 1)
	broken := func(first, errors string) func(*testing.T) *machine {
		return func(t *testing.T) *machine {
			m := newMachine(t)
			m.write("dev/new", "")
			maps.Copy(m.variables, map[string]string{"PROFILE": "RAID1", "FIRST": first, "ERRORS": errors, "BLANK": "2", "BYTES": "100"})
			return m
		}
	}
	cases := refusals{
		"no btrfs":                      {with("PROFILE", ""), nil, "no mirror"},
		"a btrfs that is no mirror":     {with("PROFILE", "single"), nil, "no mirror"},
		"a mirror that is whole":        {with("ERRORS", "0 0"), nil, "no device of the mirror"},
		"a mirror that is lost":         {with("ERRORS", "1 1"), nil, "several devices"},
		"a device that there is not":    {nil, []string{"/dev/none"}, "is no block device"},
		"a device with something on it": {with("BLANK", "0"), nil, "wipe it first"},
		"a device that is too small":    {with("BYTES", "99"), nil, "the mirror needs 100"},
		"no device":                     {nil, []string{}, "usage"},
	}
	m := cases.refuse(t, script, broken("/dev/a", "3 0"), "/dev/new")
	if asked := m.read("asked"); !strings.Contains(asked, "replace start -B -r 1 "+m.root+"/dev/new") || !strings.Contains(asked, "scrub start") {
		t.Errorf("it asked for %q", asked)
	}
	m = refusals{}.refuse(t, script, broken("<missing disk>", "0 0"), "/dev/new")
	if asked := m.read("asked"); !strings.Contains(asked, "replace start -B -r 1 ") {
		t.Errorf("for a device that is missing it asked for %q", asked)
	}
}
