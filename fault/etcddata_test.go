package fault

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The databases in testdata are of etcd 3.7. Of etcd.db, the newest values are 60 times the
// letter v and the older ones, of keys that were written again or deleted, 60 times o. In
// etcd-later.db more was written since, so that pages have moved.

func unpackDatabase(t *testing.T, name string) string {
	t.Helper()
	packed, err := os.Open("testdata/" + name + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	r, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, r); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// runProgram runs the program that nodes run.
func runProgram(t *testing.T, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath("perl"); err != nil {
		t.Skip("this machine has no perl, which every node has")
	}
	out, err := exec.Command("perl", append([]string{"-e", corruptProgram}, args...)...).CombinedOutput()
	return string(out), err
}

func mustCorrupt(t *testing.T, args ...string) string {
	t.Helper()
	out, err := runProgram(t, args...)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return out
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// changes are the places at which two files of a size differ.
func changes(a, b []byte) []int {
	var at []int
	for n := range a {
		if a[n] != b[n] {
			at = append(at, n)
		}
	}
	return at
}

func TestCorruptionHitsWhatTheSeedTells(t *testing.T) {
	t.Parallel()
	clean := read(t, unpackDatabase(t, "etcd.db"))
	found := map[string]bool{}
	for _, seed := range []string{"1", "2", "2", "4000000000"} {
		db, notes := unpackDatabase(t, "etcd.db"), filepath.Join(t.TempDir(), "notes")
		mustCorrupt(t, "flip", db, notes, seed)
		flipped := read(t, db)
		at := changes(clean, flipped)
		if len(at) != 3 {
			t.Errorf("seed %s: %d bytes are others, want 3", seed, len(at))
		}
		found[fmt.Sprint(at)] = true
		for _, n := range at {
			if clean[n] != 'v' {
				t.Errorf("seed %s: the byte at %d was %q, which is not of a newest value", seed, n, clean[n])
			}
		}
		if out := mustCorrupt(t, "show", db, notes); strings.Count(out, "flipped ") != 3 {
			t.Errorf("seed %s: %s", seed, out)
		}
		if !bytes.Equal(read(t, db), flipped) {
			t.Error("a look changed something")
		}
		mustCorrupt(t, "restore", db, notes)
		mustCorrupt(t, "restore", db, notes)
		if left := changes(clean, read(t, db)); len(left) > 0 {
			t.Errorf("seed %s: the bytes at %v are not restored", seed, left)
		}
		if out := mustCorrupt(t, "show", db, notes); strings.Count(out, "whole ") != 3 {
			t.Errorf("seed %s: %s", seed, out)
		}
	}
	if len(found) != 3 {
		t.Errorf("3 seeds told %d sets of bytes", len(found))
	}
}

func TestBytesAreGivenBackWhereTheirValuesAreByNow(t *testing.T) {
	t.Parallel()
	notes := filepath.Join(t.TempDir(), "notes")
	mustCorrupt(t, "flip", unpackDatabase(t, "etcd.db"), notes, "5")
	db := unpackDatabase(t, "etcd-later.db")
	clean := read(t, db)
	written := slices.Clone(clean)
	moved := mustCorrupt(t, "show", db, notes)
	for n, line := range strings.Split(strings.TrimSpace(moved), "\n") {
		at, err := strconv.Atoi(strings.Fields(line)[2])
		if err != nil {
			t.Fatal(err)
		}
		to, err := strconv.Atoi(strings.Fields(strings.Split(string(read(t, notes)), "\n")[n])[3])
		if err != nil {
			t.Fatal(err)
		}
		written[at] = byte(to)
	}
	if n := len(changes(clean, written)); n != 3 {
		t.Fatalf("%d values are there, want 3", n)
	}
	if err := os.WriteFile(db, written, 0o600); err != nil {
		t.Fatal(err)
	}
	// One is forgotten by now.
	gone := append(read(t, notes), "00000000000000995f0000000000000000 1 2 3\n"...)
	if err := os.WriteFile(notes, gone, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := mustCorrupt(t, "show", db, notes); strings.Count(out, "flipped ") != 3 || strings.Count(out, "gone ") != 1 {
		t.Error(out)
	}
	mustCorrupt(t, "restore", db, notes)
	if left := changes(clean, read(t, db)); len(left) > 0 {
		t.Errorf("the bytes at %v are not restored", left)
	}
}

func TestCorruptionRefusesWhatIsNoDatabase(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(db, make([]byte, 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{db: "no whole meta page", db + "-not": "No such file", "/dev/null": "ends before"} {
		if out, err := runProgram(t, "flip", path, filepath.Join(t.TempDir(), "notes"), "1"); err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: got %q, %v; want %q", path, out, err, want)
		}
	}
	torn := unpackDatabase(t, "etcd.db")
	content := read(t, torn)
	clean := slices.Clone(content)
	content[64]++ // in the first meta page: only the second counts, and its older commit
	content[4096+64]++
	if err := os.WriteFile(torn, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := runProgram(t, "flip", torn, filepath.Join(t.TempDir(), "notes"), "1"); err == nil || len(changes(clean, read(t, torn))) != 2 {
		t.Errorf("two torn meta pages: %s", out)
	}
	content[64]--
	if err := os.WriteFile(torn, content, 0o600); err != nil {
		t.Fatal(err)
	}
	mustCorrupt(t, "flip", torn, filepath.Join(t.TempDir(), "notes"), "1")
}

// dataBox is a sandbox with the data of an etcd, and stand-ins for what starts it.
type dataBox struct {
	sandbox
	manifest string // empty: a service
	started  string // a file that is there while etcd may run
}

const (
	standInServices = `#!/bin/sh
case "$1 $2" in
  "kill --signal=KILL") ;;
  "stop etcd.service") rm -f "$UNITS/etcd.started" ;;
  "start etcd.service") : >"$UNITS/etcd.started"; [ ! -e "$UNITS/on-start" ] || sh "$UNITS/on-start" ;;
  stop\ faultline*) rm -f "$UNITS/$2" ;;
  *) echo "unexpected: $*" >&2; exit 1 ;;
esac
`
	// standInPods has ended the pod at the third look after its manifest was away.
	standInPods = `#!/bin/sh
[ "$6" = '^etcd-n1$' ] || { echo "unexpected: $*" >&2; exit 1; }
[ ! -e "$MANIFEST" ] || { echo pod; exit; }
echo >>"$UNITS/looks"
[ "$(wc -l <"$UNITS/looks")" -ge 3 ] || echo pod
`
)

func newDataBox(t *testing.T, static bool) dataBox {
	t.Helper()
	s := newSandbox(t)
	s.write("bin/systemctl", standInServices)
	s.write("bin/crictl", standInPods)
	b := dataBox{sandbox: s, started: s.path("units/etcd.started")}
	if static {
		b.manifest = s.path("kubernetes/manifests/etcd.yaml")
		b.started = b.manifest
		b.env = append(b.env, "MANIFEST="+b.manifest)
		s.write("kubernetes/manifests/etcd.yaml", "the manifest\n")
	}
	b.fill(1)
	return b
}

// fill gives etcd's directory the log of the member of that number.
func (b dataBox) fill(member byte) {
	b.t.Helper()
	log := walRecord(0x08, 4, 0x10, 0)
	log = append(log, walRecord(0x08, 1, 0x10, 0xE4, 0x80, 0x8E, 0x21, 0x1A, 4, 0x08, member, 0x10, 9)...)
	if err := os.MkdirAll(b.path("data/member/wal"), 0o700); err != nil {
		b.t.Fatal(err)
	}
	b.write("data/member/wal/0-0.wal", string(append(log, make([]byte, 8192)...)))
}

// walRecord frames a record of etcd's log.
func walRecord(record ...byte) []byte {
	padding := (8 - len(record)%8) % 8
	length := uint64(len(record))
	if padding > 0 {
		length |= (0x80 | uint64(padding)) << 56
	}
	frame := binary.LittleEndian.AppendUint64(nil, length)
	return append(append(frame, record...), make([]byte, padding)...)
}

// do runs a script of a fault on the data.
func (b dataBox) do(script string) error {
	pod := ""
	if b.manifest != "" {
		pod = "etcd-n1"
	}
	_, err := b.shell(b.t.Context(), "", nil, command(script, "wipe-0", b.manifest, pod, b.path("data"))...)
	return err
}

func (b dataBox) arm() {
	b.t.Helper()
	if _, err := b.shell(b.t.Context(), "", nil, effect{id: "wipe-0", undo: []string{"true"}}.armCommands(time.Minute)[0]...); err != nil {
		b.t.Fatal(err)
	}
}

// whose is the number in the log of the member's directory, 0 if there is none.
func (b dataBox) whose() byte {
	log, err := os.ReadFile(b.path("data/member/wal/0-0.wal"))
	if err != nil {
		return 0
	}
	return log[bytes.Index(log, []byte{0x1A, 4, 0x08})+3]
}

func (b dataBox) runs() bool {
	_, err := os.Stat(b.started)
	return err == nil
}

// expect says what is there after an undo.
func (b dataBox) expect(when string, member byte) {
	b.t.Helper()
	left := b.leftovers()
	left = slices.DeleteFunc(left, func(path string) bool { return strings.HasPrefix(path, b.path("units")) })
	if data, _ := filepath.Glob(b.path("data/faultline-*")); len(data)+len(left) > 0 {
		b.t.Errorf("%s: left over: %v %v", when, data, left)
	}
	if b.whose() != member || !b.runs() {
		b.t.Errorf("%s: the data is of member %d, etcd may run: %t; want member %d, which runs", when, b.whose(), b.runs(), member)
	}
}

func TestScriptsWipeAndBringBack(t *testing.T) {
	for _, static := range []bool{false, true} {
		t.Run(fmt.Sprintf("static %t", static), func(t *testing.T) {
			b := newDataBox(t, static)
			if err := b.do(wipeScript); err == nil || !strings.Contains(err.Error(), "not armed") || b.whose() != 1 {
				t.Errorf("unarmed: %v; the data is of member %d", err, b.whose())
			}
			for _, test := range []struct {
				name   string
				during func() // what etcd does with the empty directory
				want   byte
			}{
				{"etcd refuses", func() { b.write("data/db", "") }, 1},
				{"etcd starts anew under the old name", func() { b.fill(1) }, 1},
				{"the member has been replaced", func() { b.fill(2) }, 2},
			} {
				b.fill(1)
				b.arm()
				if err := b.do(wipeScript); err != nil || b.whose() != 0 || !b.runs() {
					t.Fatalf("%s: %v; the data is of member %d, etcd may run: %t", test.name, err, b.whose(), b.runs())
				}
				test.during()
				if err := errors.Join(b.do(unwipeScript), b.do(unwipeScript)); err != nil {
					t.Errorf("%s: %v", test.name, err)
				}
				b.expect(test.name, test.want)
			}
		})
	}
}

func TestAWipeThatWasInterruptedIsUndone(t *testing.T) {
	for _, static := range []bool{false, true} {
		t.Run(fmt.Sprintf("static %t", static), func(t *testing.T) {
			b := newDataBox(t, static)
			steps := map[string]string{
				"before etcd was ended":  enter + armed,
				"after etcd was ended":   enter + armed + etcdTools + `down "$2" "$3"`,
				"before the data moved":  enter + armed + etcdTools + `down "$2" "$3"; mkdir -p "$4/faultline-$1"`,
				"before etcd is started": strings.TrimSuffix(wipeScript, "up \"$2\"\n"),
				"in the undo":            wipeScript + enter + `down "$2" "$3"; mkdir -p "$4/member"; rm -rf "$4/member"`,
			}
			for when, script := range steps {
				if !b.runs() && b.manifest == "" {
					b.write("units/etcd.started", "")
				}
				b.arm()
				if err := b.do(script); err != nil {
					t.Fatalf("%s: %v", when, err)
				}
				if err := b.do(unwipeScript); err != nil {
					t.Errorf("%s: %v", when, err)
				}
				b.expect(when, 1)
			}
		})
	}
}

func TestAKubeletThatEndsNoPodStopsTheWipe(t *testing.T) {
	b := newDataBox(t, true)
	b.write("bin/crictl", "#!/bin/sh\nexit 1\n")
	b.arm()
	if err := b.do(wipeScript); err == nil || b.whose() != 1 {
		t.Errorf("a runtime that does not answer: got %v, data of member %d", err, b.whose())
	}
	b.write("bin/crictl", standInPods)
	if err := b.do(unwipeScript); err != nil {
		t.Error(err)
	}
	b.expect("after the undo", 1)
}

func TestScriptsCorruptAndGiveBack(t *testing.T) {
	b := newDataBox(t, false)
	if err := os.MkdirAll(b.path("data/member/snap"), 0o700); err != nil {
		t.Fatal(err)
	}
	clean := read(t, unpackDatabase(t, "etcd.db"))
	db := b.path("data/member/snap/db")
	if err := os.WriteFile(db, clean, 0o600); err != nil {
		t.Fatal(err)
	}
	do := func(script string) error {
		_, err := b.shell(t.Context(), "", nil, command(script, "wipe-0", "", "", b.path("data"), corruptProgram, "3")...)
		return err
	}
	if err := do(corruptScript); err == nil || !strings.Contains(err.Error(), "not armed") {
		t.Errorf("unarmed: %v", err)
	}
	b.arm()
	if err := do(corruptScript); err != nil || len(changes(clean, read(t, db))) != 3 {
		t.Fatalf("%v, %d bytes are others", err, len(changes(clean, read(t, db))))
	}
	if err := errors.Join(do(uncorruptScript), do(uncorruptScript)); err != nil || !bytes.Equal(clean, read(t, db)) {
		t.Errorf("%v, %d bytes are others", err, len(changes(clean, read(t, db))))
	}
	b.expect("after the undo", 1)

	// Nothing was noted before the end came, and etcd is down.
	b.arm()
	b.write("state/wipe-0/bytes.part", "00")
	os.Remove(b.started)
	if err := do(uncorruptScript); err != nil {
		t.Error(err)
	}
	b.expect("half done", 1)
}
