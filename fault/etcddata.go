package fault

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"faultline/clusters"
)

// dataLanding covers a kubelet that ends a pod and starts it again, and a shutdown of etcd.
const dataLanding = 90 * time.Second

// WipeData takes everything away that a member of an etcd stores, and starts the member
// again with the same settings and an empty directory, as after the loss of its disk. What
// etcd makes of it depends on those settings:
//
//   - One that knows other members refuses: it asks them, and ends with "has already been
//     bootstrapped". Its place has to be given to a new member (member remove, member add).
//   - The only member of an etcd starts an empty one without a word. Of Kubernetes an empty
//     cluster is left, which answers, and whose kubelets end what it does not know of.
//   - One with --initial-cluster-state=existing and all members in --initial-cluster takes
//     part again under its old name, having forgotten what it voted for and acknowledged. It
//     ends with "tocommit is out of range" as long as the leader stays. One that was the
//     first of its etcd and names only itself, as kubeadm writes it, even starts an empty
//     etcd of the same name beside the others.
//
// The third kind is refused: a vote that is given twice cannot be undone. For the same reason a
// member must not be wiped while none of the others answers: the first kind asks in vain
// then, and takes part again too.
//
// The data waits in the same directory of etcd's, under another name.
//
// Proof: the data is away, and etcd has begun a new directory. Undo: etcd is ended, the
// old data is moved back in the place of the new, and etcd is started; to the others it has
// been down. A member that has been replaced meanwhile has another ID in its log: it keeps
// its new data, since the old one belongs to a member that was removed. Healed: etcd runs,
// stays and serves.
func WipeData(member clusters.Instance) Fault { return onMember(KindWipeData, member, planWipe) }

// CorruptData changes a byte in up to three values that a member of an etcd stores, each in
// its own way, as a disk does that returns something else than was written. The seed
// tells which. The member is down meanwhile and started again. Nothing in etcd's database
// is a checksum of data: only a comparison with others tells (--feature-gates
// InitialCorruptCheck=true, which kubeadm sets). So a member of several ends with "found
// data inconsistency with peers" before it takes part, and the only member of an etcd
// serves what was not written.
//
// Only values are hit, and of each key the newest: the structure of the database stays,
// which makes the outcome the same each time.
//
// Proof: the bytes in the database are others, wherever etcd has moved them. Undo: etcd is
// ended, each byte is given back where its value is by now, if it is still stored, and etcd
// is started. Whatever a client wrote on the grounds of wrong data stays. Healed: etcd
// runs, stays and serves.
func CorruptData(member clusters.Instance, seed uint32) Fault {
	return onMember(KindCorruptData, member, func(ctx context.Context, m storeMember, id string) (effect, error) {
		return planCorrupt(ctx, m, id, seed)
	})
}

// corruptProgram finds the values, see there.
//
//go:embed corrupt.pl
var corruptProgram string

// etcdTools define down, which ends etcd and keeps it from starting, and up. $1 is the
// manifest of its static pod and $2 the pod's name, which are empty for a service.
// The kubelet starts no container of a pod that it has ended, sandbox included, until the
// manifest is back.
const etcdTools = takeManifest + bringManifest + `down() {
  if [ -z "$1" ]; then
    systemctl kill --signal=KILL etcd.service 2>/dev/null || true
    systemctl stop etcd.service
    return
  fi
  [ ! -e "$1" ] || take "$1"
  for try in $(seq 200); do
    pods=$(crictl pods --quiet --state ready --name "^$2\$")
    [ -n "$pods" ] || return 0
    sleep 0.2
  done
  echo "the kubelet does not end the pod $2, whose manifest is away" >&2
  exit 1
}
up() {
  if [ -z "$1" ]; then systemctl start etcd.service; else bring "$1"; fi
}
`

// wipeScript moves the data of the etcd with the manifest $2, the pod $3 and the directory
// $4 away, for the fault $1.
const wipeScript = enter + armed + etcdTools + `down "$2" "$3"
mkdir -p "$4/faultline-$1"
mv "$4/member" "$4/faultline-$1/"
sync "$4"
up "$2"
`

// unwipeScript undoes wipeScript. A log begins with a checksum and then the IDs of the
// member and its cluster.
const unwipeScript = enter + etcdTools + `whose() {
  for log in "$1"/wal/*.wal; do
    [ ! -e "$log" ] || perl -we '
      use strict;
      open(my $log, "<", $ARGV[0]) or die "$ARGV[0]: $!\n";
      read($log, my $all, 4096);
      my ($at, $record) = 0;
      for (1, 2) {
        my $size = unpack("Q", substr($all, $at, 8));
        $record = substr($all, $at + 8, $size << 8 >> 8);
        $at += 8 + length($record) + ($size >> 63 ? $size >> 56 & 7 : 0);
      }
      print unpack("H*", $1) if $record =~ /^\x08\x01\x10[\x80-\xFF]*[\x00-\x7F]\x1A.(.*)/s' "$log"
    return
  done
}
old=$4/faultline-$1
if [ -d "$d" ]; then
  down "$2" "$3"
  if [ -d "$old/member" ]; then
    new=$(whose "$4/member")
    if [ -z "$new" ] || [ "$new" = "$(whose "$old/member")" ]; then
      rm -rf "$4/member"
      mv "$old/member" "$4/member"
      sync "$4"
    fi
  fi
  rm -rf "$old"
  up "$2"
fi
` + leave

// corruptScript runs the program $5 with the seed $6 on the database of the etcd with the
// manifest $2, the pod $3 and the directory $4, for the fault $1.
const corruptScript = enter + armed + etcdTools + `down "$2" "$3"
perl -e "$5" flip "$4/member/snap/db" "$d/bytes" "$6"
up "$2"
`

// uncorruptScript undoes corruptScript.
const uncorruptScript = enter + etcdTools + `if [ -d "$d" ]; then
  if [ -e "$d/bytes" ]; then
    down "$2" "$3"
    perl -e "$5" restore "$4/member/snap/db" "$d/bytes"
    rm "$d/bytes"
  fi
  rm -f "$d/bytes.part"
  up "$2"
fi
` + leave

// place tells the scripts which etcd it is.
func (m storeMember) place(id string) []string {
	if !m.Static() {
		return []string{id, "", "", m.flags["data-dir"]}
	}
	return []string{id, m.Manifest(), m.Name() + "-" + m.Node.Name, m.flags["data-dir"]}
}

// tools are the programs with which its data is read and its pod is ended.
func (m storeMember) tools() []string {
	if m.Static() {
		return []string{"perl", "crictl"}
	}
	return []string{"perl"}
}

// forgetful says why the member would take part without its data. Empty: it would not.
func (m storeMember) forgetful() string {
	named := strings.Count(m.flags["initial-cluster"], "=")
	switch {
	case m.members == 1:
		return ""
	case m.flags["initial-cluster-state"] == "existing" && named == m.members:
		return "it was started with --initial-cluster-state=existing and the names of all"
	case m.flags["initial-cluster-state"] != "existing" && named < 2:
		return "its --initial-cluster names nobody else, so that it would start an etcd of the same name"
	}
	return ""
}

func planWipe(ctx context.Context, m storeMember, id string) (effect, error) {
	if why := m.forgetful(); why != "" {
		return effect{}, fmt.Errorf("%s would take part again without its data, and could give a vote twice, which no undo takes back: %s", m, why)
	}
	if err := need(ctx, m.Node, m.tools()...); err != nil {
		return effect{}, err
	}
	if err := mustExist(ctx, m, m.flags["data-dir"]+"/member"); err != nil {
		return effect{}, err
	}
	return effect{
		inject:  command(wipeScript, m.place(id)...),
		undo:    command(unwipeScript, m.place(id)...),
		prove:   func(ctx context.Context) (string, error) { return proveWiped(ctx, m, id) },
		landing: dataLanding,
	}, nil
}

// mustExist refuses a member that does not have a file where we expect it.
func mustExist(ctx context.Context, m storeMember, path string) error {
	if _, err := m.Node.Exec(ctx, "test", "-e", path); err != nil {
		return fmt.Errorf("%s has no %s, where its data was expected: %w", m, path, err)
	}
	return nil
}

// newDirectoryScript tells whether the data of the fault $2 is away from the directory $1,
// and whether etcd has begun another.
const newDirectoryScript = `[ -d "$1/faultline-$2/member" ] && echo away || echo "in place"
[ -e "$1/member/snap/db" ] && echo begun || echo "not begun"
`

func proveWiped(ctx context.Context, m storeMember, id string) (string, error) {
	out, err := m.Node.Exec(ctx, command(newDirectoryScript, m.flags["data-dir"], id)...)
	if err != nil {
		return "", err
	}
	if string(out) != "away\nbegun\n" {
		old, next, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		return "", fmt.Errorf("the data of %s is %s, and a new directory is %s", m, old, next)
	}
	return fmt.Sprintf("the data of %s is away, and it has begun a new directory", m), nil
}

func planCorrupt(ctx context.Context, m storeMember, id string, seed uint32) (effect, error) {
	if err := need(ctx, m.Node, m.tools()...); err != nil {
		return effect{}, err
	}
	if err := mustExist(ctx, m, m.database()); err != nil {
		return effect{}, err
	}
	keys, err := askMember(ctx, m.Instance, "get", "", "--prefix", "--keys-only", "--limit=1", "--consistency=s")
	if err != nil {
		return effect{}, fmt.Errorf("look for something that %s stores: %w", m, err)
	}
	if strings.TrimSpace(string(keys)) == "" {
		return effect{}, fmt.Errorf("%s stores nothing that could be corrupted: write something first", m)
	}
	args := append(m.place(id), corruptProgram)
	return effect{
		inject:  command(corruptScript, append(args, strconv.FormatUint(uint64(seed), 10))...),
		undo:    command(uncorruptScript, args...),
		prove:   func(ctx context.Context) (string, error) { return proveCorrupt(ctx, m, id) },
		landing: dataLanding,
	}, nil
}

func (m storeMember) database() string { return m.flags["data-dir"] + "/member/snap/db" }

func proveCorrupt(ctx context.Context, m storeMember, id string) (string, error) {
	out, err := m.Node.Exec(ctx, "perl", "-e", corruptProgram, "show", m.database(), stateDir+"/"+id+"/bytes")
	if err != nil {
		return "", err
	}
	return tellBytes(m, string(out))
}

// tellBytes turns what the program says of each byte, "state revision place", into evidence.
func tellBytes(m storeMember, out string) (string, error) {
	var places []string
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] != "flipped" {
			return "", fmt.Errorf("a byte in the database of %s is not what it was made: %s", m, strings.TrimSpace(line))
		}
		places = append(places, f[2])
	}
	if len(places) == 0 {
		return "", errors.New("no byte was changed")
	}
	return fmt.Sprintf("the database of %s has other bytes at %s", m, strings.Join(places, ", ")), nil
}
