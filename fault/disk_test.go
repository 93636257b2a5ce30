package fault

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"faultline/clusters"
)

// diskModel is a node with a disk that answers as it is told, by the word that each
// question begins with, and keeps what was run.
type diskModel struct {
	answers map[string]string
	run     []string
}

func (m *diskModel) shell(_ context.Context, _ string, _ io.Reader, argv ...string) ([]byte, error) {
	question := strings.TrimPrefix(strings.Join(argv, " "), clusters.DiskTool+" ")
	if argv[0] == "sh" {
		question = map[string]string{
			deviceScript: "device", newFileScript: "new-file", waitingScript: "waiting", readWriteScript: "read-write", lookForTrigger: "trigger",
			fillingScript: "filling",
		}[argv[2]]
	}
	m.run = append(m.run, question)
	answer, ok := m.answers[strings.Fields(question + " ?")[0]]
	if !ok {
		return nil, errors.New("not to be asked: " + question)
	}
	return []byte(answer), nil
}

// node is the model as a node.
func (m *diskModel) node(disk *clusters.Disk) *clusters.Node {
	n := &clusters.Node{Name: "n1", Host: "h1", Disk: disk, DiskHost: "h1", Components: []clusters.Component{clusters.Etcd}}
	(&clusters.Cluster{Nodes: []*clusters.Node{n}}).Reach(m.shell)
	return n
}

var (
	plainDisk  = &clusters.Disk{Name: "ssd", Bytes: 1 << 30, Devices: 1}
	mirrorDisk = &clusters.Disk{Name: "mirror", Bytes: 1 << 30, Devices: 2, Mirrored: true}
)

func TestDiskFaultsRefuseWhatMakesNoSense(t *testing.T) {
	for _, test := range []struct {
		name          string
		disk          *clusters.Disk
		status, limit string
		fault         func(*clusters.Node) Fault
		want          string
	}{
		{"no disk", nil, "", "0", func(n *clusters.Node) Fault { return FailDevice(n, 0) }, "node n1 has no disk"},
		{"no disk to fill", nil, "", "0", func(n *clusters.Node) Fault { return FillDisk(n, 0) }, "node n1 has no disk"},
		{"no disk to throttle", nil, "", "0", func(n *clusters.Node) Fault { return ThrottleDisk(n, 1<<20) }, "node n1 has no disk"},
		{"no such device", plainDisk, "", "0", func(n *clusters.Node) Fault { return FailDevice(n, 1) }, "no device 1"},
		{"a negative device", mirrorDisk, "", "0", func(n *clusters.Node) Fault { return FailDevice(n, -1) }, "no device -1"},
		{"a broken disk", mirrorDisk, "device 1 has failed\n", "0", func(n *clusters.Node) Fault { return FailDevice(n, 0) }, "broken already (device 1 has failed)"},
		{"a full disk", plainDisk, "it is filled\n", "0", func(n *clusters.Node) Fault { return FillDisk(n, 0) }, "broken already (it is filled)"},
		{"negative space", plainDisk, "", "0", func(n *clusters.Node) Fault { return FillDisk(n, -1) }, "-1 bytes cannot be left"},
		{"more space than there is", plainDisk, "", "0", func(n *clusters.Node) Fault { return FillDisk(n, 1<<30) }, "cannot be left"},
		{"more space than is free", plainDisk, "", "0", func(n *clusters.Node) Fault { return FillDisk(n, 101<<20) }, "of which 104857600 are free"},
		{"about what is free", plainDisk, "", "0", func(n *clusters.Node) Fault { return FillDisk(n, 98<<20) }, "cannot be left"},
		{"less than is free", plainDisk, "", "0", func(n *clusters.Node) Fault { return FillDisk(n, 97<<20) }, ""},
		{"no speed", plainDisk, "", "0", func(n *clusters.Node) Fault { return ThrottleDisk(n, 0) }, "out of range"},
		{"any speed", plainDisk, "", "0", func(n *clusters.Node) Fault { return ThrottleDisk(n, 1<<40) }, "out of range"},
		{"no disk to stall", nil, "", "0", StallDisk, "node n1 has no disk"},
		{"a stalled disk", plainDisk, "it is stalled\n", "0", StallDisk, "broken already (it is stalled)"},
		{"inodes of a mirror", mirrorDisk, "", "0", FillInodes, "btrfs has no fixed number of inodes"},
		{"a mirror that should be read-only", mirrorDisk, "", "0", ReadOnlyDisk, "btrfs cannot be told"},
		{"a stall", mirrorDisk, "", "0", StallDisk, ""},
		{"inodes", plainDisk, "", "0", FillInodes, ""},
		{"a read-only disk", plainDisk, "", "0", ReadOnlyDisk, ""},
		{"no device", plainDisk, "", "0", func(n *clusters.Node) Fault { return FailDevice(n, 0) }, ""},
		{"a leg", mirrorDisk, "", "0", func(n *clusters.Node) Fault { return FailDevice(n, 1) }, ""},
		{"space", plainDisk, "", "0", func(n *clusters.Node) Fault { return FillDisk(n, 1<<20) }, ""},
		{"speed", mirrorDisk, "", "0\n0\n", func(n *clusters.Node) Fault { return ThrottleDisk(n, 1<<20) }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &diskModel{answers: map[string]string{
				"status": test.status, "limits": test.limit, "trigger": "/sys/fs/ext4/loop0/trigger_fs_error\n", "df": " Avail\n104857600\n",
			}}
			err := test.fault(m.node(test.disk)).Available(t.Context())
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if slices.ContainsFunc(m.run, func(q string) bool {
				return !slices.Contains([]string{"status", "limits", "trigger", "df"}, strings.Fields(q)[0])
			}) {
				t.Errorf("a look changed something: %v", m.run)
			}
		})
	}
	if err := FailDevice(nil, 0).Available(t.Context()); err == nil || !strings.Contains(err.Error(), "has no node") {
		t.Errorf("no node: got %v", err)
	}
	for _, f := range []Fault{
		FillInodes((&diskModel{answers: map[string]string{"status": ""}}).node(mirrorDisk)),
		ReadOnlyDisk((&diskModel{answers: map[string]string{"status": ""}}).node(mirrorDisk)),
		ReadOnlyDisk((&diskModel{answers: map[string]string{"status": "", "trigger": ""}}).node(plainDisk)),
	} {
		if err := f.Available(t.Context()); !errors.Is(err, clusters.ErrUnsupported) {
			t.Errorf("%s: got %v, want ErrUnsupported", f, err)
		}
	}
	m := &diskModel{answers: map[string]string{"status": ""}} // which does not tell limits
	if err := ThrottleDisk(m.node(plainDisk), 1<<20).Available(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be throttled") {
		t.Errorf("without an I/O controller: got %v", err)
	}
}

func TestASharedDiskIsOneTarget(t *testing.T) {
	m := &diskModel{}
	first, second := m.node(mirrorDisk), m.node(mirrorDisk)
	second.Name = "n2"
	if one, other := FailDevice(first, 1).Targets()[0], FailDevice(second, 1).Targets()[0]; one != other || one != "device 1 of disk mirror of host h1" {
		t.Errorf("%q and %q", one, other)
	}
	if FailDevice(first, 0).Targets()[0] == FailDevice(first, 1).Targets()[0] {
		t.Error("two devices are one target")
	}
}

func TestADiskIsTheSameWhereverItsNodeIs(t *testing.T) {
	m := &diskModel{}
	stays, moved, stranger := m.node(plainDisk), m.node(plainDisk), m.node(plainDisk)
	stays.Name, moved.Host, stranger.Name, stranger.Host, stranger.DiskHost = "n2", "h2", "n3", "h2", "h2"
	if one, other := StallDisk(stays).Targets()[0], StallDisk(moved).Targets()[0]; one != other {
		t.Errorf("%q and %q", one, other)
	}
	c := &clusters.Cluster{Nodes: []*clusters.Node{stays, moved, stranger}}
	if taken := StallDisk(moved).parts[0].takes(c); len(taken) != 2 || slices.ContainsFunc(taken, func(i clusters.Instance) bool { return i.Node == stranger }) {
		t.Errorf("it takes %v, want those with data on the disk", taken)
	}
}

func TestANodeWithAStalledDiskIsNotSwitched(t *testing.T) {
	for _, fault := range []func(...*clusters.Node) Fault{PowerOff, Freeze, Destroy} {
		power := clusters.Power{Off: []string{"false"}, Freeze: []string{"false"}, Destroy: []string{"false"}, Status: []string{"echo", "running"}}
		n := (&diskModel{answers: map[string]string{"status": "it is stalled\n"}}).node(plainDisk)
		n.Power = power
		if err := fault(n).Available(t.Context()); err == nil || !strings.Contains(err.Error(), "is stalled") {
			t.Errorf("got %v, want a refusal", err)
		}
		n = (&diskModel{answers: map[string]string{"status": "it is filled\n"}}).node(plainDisk)
		n.Power = power
		if err := fault(n).Available(t.Context()); err != nil {
			t.Errorf("a full disk: got %v", err)
		}
	}
}

func TestDiskFaultsProveTheirEffect(t *testing.T) {
	fail := func(n *clusters.Node) Fault { return FailDevice(n, 0) }
	fill := func(n *clusters.Node) Fault { return FillDisk(n, 1<<20) }
	throttle := func(n *clusters.Node) Fault { return ThrottleDisk(n, 1<<20) }
	for _, test := range []struct {
		name    string
		disk    *clusters.Disk
		fault   func(*clusters.Node) Fault
		answers map[string]string
		want    string // in the error; empty: it has landed
	}{
		{"dead", plainDisk, fail, map[string]string{"device": ioError + "\n" + ioError + "\n"}, ""},
		{"dead leg", mirrorDisk, fail, map[string]string{"device": ioError + "\n" + ioError + "\nworks\n"}, ""},
		{"readable", plainDisk, fail, map[string]string{"device": "works\n" + ioError + "\n"}, "a read on device ssd-0: works"},
		{"writable", plainDisk, fail, map[string]string{"device": ioError + "\nworks\n"}, "a write on device ssd-0: works"},
		{"not there", plainDisk, fail, map[string]string{"device": "No such file or directory\n" + ioError + "\n"}, "No such file"},
		{"dead mirror", mirrorDisk, fail, map[string]string{"device": strings.Repeat(ioError+"\n", 3)}, "a write on its mirror: Input/output error"},
		{"no answer", mirrorDisk, fail, map[string]string{"device": ioError + "\n"}, "unexpected answer"},
		{"full", plainDisk, fill, map[string]string{"df": " Avail\n1048576\n", "filling": "103809024\n"}, ""},
		{"not full", plainDisk, fill, map[string]string{"df": " Avail\n104857600\n", "filling": "4096\n"}, "104857600 bytes of disk ssd are free"},
		{"full by itself", mirrorDisk, fill, map[string]string{"df": " Avail\n1048576\n", "filling": "0\n"}, "nothing fills disk mirror"},
		{"unknown space", plainDisk, fill, map[string]string{"df": "", "filling": "4096\n"}, "unexpected answer"},
		{"an unknown filling", plainDisk, fill, map[string]string{"df": " Avail\n1048576\n", "filling": ""}, "unexpected answer"},
		{"no inode", plainDisk, FillInodes, map[string]string{"new-file": "0\nNo space left on device\n"}, ""},
		{"an inode", plainDisk, FillInodes, map[string]string{"new-file": "1\nworks\n"}, `"1" free inodes and a new file: works`},
		{"no inode and no answer", plainDisk, FillInodes, map[string]string{"new-file": "0\n"}, "want none"},
		{"stalled", mirrorDisk, StallDisk, map[string]string{"waiting": "D\n"}, ""},
		{"not stalled", plainDisk, StallDisk, map[string]string{"waiting": "ended\n"}, "the process is ended"},
		{"not stalled, and not asked for", plainDisk, StallDisk, map[string]string{"waiting": "Z\n"}, "the process is Z"},
		{"read-only", plainDisk, ReadOnlyDisk, map[string]string{"read-write": "works\n" + readOnly + "\n"}, ""},
		{"writable still", plainDisk, ReadOnlyDisk, map[string]string{"read-write": "works\nworks\n"}, "a write: works"},
		{"dead and not read-only", plainDisk, ReadOnlyDisk, map[string]string{"read-write": ioError + "\n" + ioError + "\n"}, "a read: Input/output error"},
		{"slow", mirrorDisk, throttle, map[string]string{"limits": "1048576\n1048576\n", "time_write": "990\n"}, ""},
		{"fast", mirrorDisk, throttle, map[string]string{"limits": "1048576\n1048576\n", "time_write": "40\n"}, "at least 500ms"},
		{"one device is fast", mirrorDisk, throttle, map[string]string{"limits": "1048576\n0\n", "time_write": "990\n"}, "has the limit 0"},
		{"no limits", mirrorDisk, throttle, map[string]string{"limits": "", "time_write": "990\n"}, "no device"},
		{"no time", mirrorDisk, throttle, map[string]string{"limits": "1048576\n", "time_write": ""}, "time a write"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &diskModel{answers: map[string]string{"status": "", "limits": "", "trigger": "x", "df": " Avail\n104857600\n"}}
			effects, err := test.fault(m.node(test.disk)).plan(t.Context(), "x")
			if err != nil {
				t.Fatal(err)
			}
			m.answers = test.answers
			proof, err := effects[0].prove(t.Context())
			if test.want == "" && (err != nil || proof == "") || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %q, %v; want %q", proof, err, test.want)
			}
		})
	}
}
