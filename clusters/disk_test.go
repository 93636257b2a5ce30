package clusters

import (
	"context"
	"io"
	"strings"
	"testing"
)

// What inspectDisk prints of disks as they should be.
const (
	plainFacts = `shared 254:0 /run/disks/h1 ext4
data 7:3 /n1 ext4
device 254:0 1001 254:0 1001 1073741824 7:3 12
`
	mirrorFacts = `shared 254:0 /run/disks/h1 ext4
data 0:78 /n1 btrfs
device 254:0 1001 254:0 1001 1694498816 7:0 12
device 254:0 1002 254:0 1002 1694498816 7:1 12
mirror 0:78 / btrfs
leg 7:1 12 1073741824
leg 7:0 12 1073741824
profile Data RAID1
profile System RAID1
profile Metadata RAID1
errors 0
`
)

// diskNode is a node whose programs print what they are told.
func diskNode(disk *Disk, status, facts string, failure error) *Node {
	return &Node{Name: "n1", Host: "h1", Disk: disk, DiskHost: "h1", shell: func(_ context.Context, _ string, _ io.Reader, argv ...string) ([]byte, error) {
		if argv[0] == DiskTool {
			return []byte(status), failure
		}
		return []byte(facts), failure
	}}
}

func TestCheckDisk(t *testing.T) {
	plain, twice := Disk{Name: "d", Bytes: 1 << 30, Devices: 1}, Disk{Name: "d", Bytes: 1 << 30, Devices: 2, Mirrored: true}
	for _, test := range []struct {
		name     string
		disk     Disk
		old, new string // what is found instead
		want     string // in the error; empty: none
	}{
		{"as it should be", plain, "", "", ""},
		{"as a mirror should be", twice, "", "", ""},
		{"images of another host", plain, "/disks/h1", "/disks/h2", "not of the host"},
		{"no shared directory", plain, "shared 254:0 /run/disks/h1 ext4", "shared ", "not of the host"},
		{"no disk below etcd", plain, "data 7:3 /n1 ext4", "data 254:0 /volume ext4", "want the directory /n1 of 7:3"},
		{"nothing below etcd", plain, "data 7:3 /n1 ext4", "data ", "want the directory"},
		{"another member's directory", plain, "/n1", "/n2", "want the directory"},
		{"another filesystem", plain, "n1 ext4", "n1 xfs", "(xfs)"},
		{"another file", plain, "254:0 1001 1073741824", "254:0 1007 1073741824", "on another file"},
		{"another size", plain, "1073741824", "2147483648", "has 2147483648 bytes"},
		{"a plain disk for a mirror", plain, plainFacts, mirrorFacts, "2 devices were found"},
		{"a mirror on a plain disk", twice, mirrorFacts, plainFacts, "1 devices were found"},
		{"a missing leg", twice, "leg 7:0 12 1073741824\n", "", "one is missing"},
		{"a leg of another device", twice, "leg 7:0 12", "leg 7:9 12", "not device 0"},
		{"a leg of another size", twice, "leg 7:1 12 1073741824", "leg 7:1 12 2147483648", "uses 2147483648 bytes of device 1"},
		{"a small leg", twice, "leg 7:1 12 1073741824", "leg 7:1 12 536870912", "uses 536870912 bytes of device 1"},
		{"data kept once", twice, "Data RAID1\n", "Data RAID1\nprofile Data single\n", "keeps data as single"},
		{"metadata kept once", twice, "Metadata RAID1", "Metadata DUP", "keeps metadata as DUP"},
		{"an unknown profile", twice, "profile System RAID1\n", "", "keeps its system"},
		{"errors", twice, "errors 0", "errors 7", "had 7 errors"},
		{"an unknown line", plain, "data", "date", "unexpected line"},
		{"a short line", plain, " 7:3 12", "", "unexpected line"},
		{"no number", plain, "1073741824", "lots", "unexpected line"},
	} {
		t.Run(test.name, func(t *testing.T) {
			facts := map[bool]string{false: plainFacts, true: mirrorFacts}[test.disk.Mirrored]
			if test.old != "" && !strings.Contains(facts, test.old) {
				t.Fatalf("%q is not in the facts", test.old)
			}
			facts = strings.Replace(facts, test.old, test.new, 1)
			err := diskNode(&test.disk, "", facts, nil).CheckDisk(t.Context())
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q", err, test.want)
			case err != nil && !strings.Contains(err.Error(), "disk d of host h1 on node n1"):
				t.Errorf("%v does not say where", err)
			}
		})
	}
}

func TestCheckDiskTellsWhatIsBrokenOnPurpose(t *testing.T) {
	err := diskNode(&Disk{Name: "d"}, "device 0 has failed\nit is filled\n", "", nil).CheckDisk(t.Context())
	if err == nil || !strings.Contains(err.Error(), "device 0 has failed, it is filled") {
		t.Errorf("got %v", err)
	}
	if err := diskNode(&Disk{Name: "d"}, "", "", io.ErrUnexpectedEOF).CheckDisk(t.Context()); err == nil {
		t.Error("a node that does not answer has a whole disk")
	}
	if err := diskNode(nil, "", "", io.ErrUnexpectedEOF).CheckDisk(t.Context()); err != nil {
		t.Errorf("a node without a disk: %v", err)
	}
	c := Cluster{Nodes: []*Node{diskNode(nil, "", "", nil), diskNode(&Disk{Name: "d"}, "it is filled", "", nil)}}
	if err := c.checkDisks(t.Context()); err == nil || !strings.Contains(err.Error(), "filled") {
		t.Errorf("got %v", err)
	}
}

func TestADiskStaysBehindWhenItsNodeMigrates(t *testing.T) {
	layout := Topology{Name: "two", Hosts: []Host{{Name: "h1"}, {Name: "h2"}}}
	switched := []string{"true"}
	for _, test := range []struct{ name, facts, want string }{
		{"on the old host", plainFacts, ""},
		{"on the new one", strings.Replace(plainFacts, "/disks/h1", "/disks/h2", 1), "not of the host"},
	} {
		n := diskNode(&Disk{Name: "d", Bytes: 1 << 30, Devices: 1}, "", test.facts, nil)
		n.Role, n.Power = EtcdServer, Power{Freeze: switched, Thaw: switched, Cores: switched}
		c := Cluster{Topology: layout, Nodes: []*Node{n}}
		if _, err := c.Migrate(t.Context(), "h2", 0, n); err != nil || n.Host != "h2" {
			t.Fatalf("the node is on %s, %v", n.Host, err)
		}
		err := n.CheckDisk(t.Context())
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
}

func TestReplaceDeviceRefuses(t *testing.T) {
	for _, test := range []struct {
		disk   *Disk
		device int
		want   string
	}{
		{nil, 0, "no disk"},
		{&Disk{Name: "d", Devices: 1}, 0, "no mirror"},
		{&Disk{Name: "d", Devices: 2, Mirrored: true}, 2, "no device 2"},
		{&Disk{Name: "d", Devices: 2, Mirrored: true}, -1, "no device -1"},
	} {
		n := diskNode(test.disk, "", "", nil)
		n.shell = nil // nothing may be run
		if err := n.ReplaceDevice(t.Context(), test.device); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v, device %d: got %v, want %q", test.disk, test.device, err, test.want)
		}
	}
}
