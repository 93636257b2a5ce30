package clusters

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
)

// ErrUnsupported says that this machine lacks what a layout or a fault needs, with the
// reason. Trying again does not help, and it is no failure of the cluster.
var ErrUnsupported = errors.New("this machine does not support it")

// DiskTool is the program on a node with a disk that mounts, breaks and mends it.
const DiskTool = "/usr/local/bin/faultline-disk"

// Directories on a node with a disk.
const (
	// disksDir holds the images of its host's devices. All nodes of the host have it.
	disksDir = "/faultline/disks"
	// DevicesDir is where each device is mounted, as <disk>-<number>, and a mirror of
	// them as <disk>.
	DevicesDir = "/faultline/device"
)

// checkDisks proves that each etcd stores its data on the disk that it should, and that
// this disk is whole.
func (c *Cluster) checkDisks(ctx context.Context) error {
	var group errgroup.Group
	for _, n := range c.Nodes {
		if n.Disk != nil {
			group.Go(func() error { return n.CheckDisk(ctx) })
		}
	}
	return group.Wait()
}

// CheckDisk proves that the node's etcd stores its data on the disk that it should: of
// the right host, wherever the node is by now, of the right kind and size, with all
// devices, and with nothing broken on purpose or by itself. A node without a disk has
// nothing to check.
func (n *Node) CheckDisk(ctx context.Context) error {
	if n.Disk == nil {
		return nil
	}
	d := *n.Disk
	marks, err := n.DiskStatus(ctx)
	if err == nil && len(marks) > 0 {
		err = errors.New(strings.Join(marks, ", "))
	}
	if err != nil {
		return n.diskError(err)
	}
	out, err := n.Exec(ctx, "sh", "-c", inspectDisk, "sh", d.Name, strconv.Itoa(d.Devices))
	if err != nil {
		return n.diskError(err)
	}
	facts, err := parseDisk(string(out))
	if err == nil {
		err = facts.check(d, n)
	}
	return n.diskError(err)
}

// DiskStatus lists, for people, what is broken on purpose at the node's disk.
func (n *Node) DiskStatus(ctx context.Context) ([]string, error) {
	out, err := n.Exec(ctx, DiskTool, "status")
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' }), nil
}

// ReplaceDevice puts a new, empty device in the place of one of the node's mirror, as
// an administrator replaces a broken drive, and rebuilds the mirror. etcd goes on
// meanwhile. It returns when both devices hold everything, which a check of all
// checksums has proved; a mirror with some hundred megabytes takes a few seconds. A
// mirror that is nearly full, or that was mounted without the device, is larger
// afterwards, by half. One that is completely full may refuse, unharmed.
func (n *Node) ReplaceDevice(ctx context.Context, device int) error {
	if n.Disk == nil {
		return fmt.Errorf("node %s has no disk of which a device could be replaced", n.Name)
	}
	if !n.Disk.Mirrored {
		return n.diskError(errors.New("it is no mirror, so that nothing could be rebuilt on a new device"))
	}
	if err := n.CheckDevice(device); err != nil {
		return err
	}
	if _, err := n.Exec(ctx, DiskTool, "replace", strconv.Itoa(device)); err != nil {
		return n.diskError(fmt.Errorf("replace device %d: %w", device, err))
	}
	return n.CheckDisk(ctx)
}

// CheckDevice refuses the number of a device that the node's disk does not have.
func (n *Node) CheckDevice(device int) error {
	if n.Disk == nil {
		return fmt.Errorf("node %s has no disk", n.Name)
	}
	if device < 0 || device >= n.Disk.Devices {
		return n.diskError(fmt.Errorf("it has no device %d; its %d are numbered from 0", device, n.Disk.Devices))
	}
	return nil
}

func (n *Node) diskError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("disk %s of host %s on node %s: %w", n.Disk.Name, n.DiskHost, n.Name, err)
}

// inspectDisk asks the kernel what the disk $1 with $2 devices is made of, and not the
// program that made it. A file is told by "major:minor inode", a mount by "major:minor
// root type". It fails when a device cannot be read.
const inspectDisk = `set -e
mounted() { awk -v at="$1" '$5 == at { i = 7; while ($i != "-") i++; found = $3 " " $4 " " $(i+1) } END { print found }' /proc/self/mountinfo; }
behind() { losetup --noheadings --output BACK-MAJ:MIN,BACK-INO "$1"; }
size() { echo $(($(cat "/sys/block/${1#/dev/}/size") * 512)); }
shared=$(mounted ` + disksDir + `)
echo "shared $shared"
echo "data $(mounted ` + EtcdData + `)"
for n in $(seq 0 $(($2 - 1))); do
  at=` + DevicesDir + `/$1-$n
  head -c 1 "$at/device" > /dev/null
  mount=$(mounted "$at")
  mount=${mount%% *}
  loop=/dev/loop${mount#7:}
  echo "device ${shared%% *} $(stat -c %i ` + disksDir + `/$1-$n.img) $(behind "$loop") $(size "$loop") $mount $(stat -c %i "$at/device")"
done
[ "$2" -gt 1 ] || exit 0
top=` + DevicesDir + `/$1
echo "mirror $(mounted "$top")"
btrfs filesystem show --raw "$top" | sed -n 's,.* size \([0-9]*\) .* path \(/dev/loop[0-9]*\)$,\1 \2,p' | while read -r size loop; do
  echo "leg $(behind "$loop") $size"
done
btrfs filesystem df --raw "$top" | sed -n 's/^\(Data\|Metadata\|System\), \([^:]*\):.*/profile \1 \2/p'
btrfs device stats "$top" | awk '{ sum += $2 } END { print "errors", sum }'
`

// diskFacts are what inspectDisk found.
type diskFacts struct {
	shared, data, mirror mount
	devices              []deviceFacts
	legs                 []legFacts
	profiles             [][]string // kind of data, profile
	errors               int
}

// mount is a line of a mount table.
type mount struct{ device, root, filesystem string }

type deviceFacts struct {
	image, behind string // the file that should be behind the device, and the one that is
	bytes         int64
	device        string // major:minor
	leg           string // the file on it that a mirror should use
}

// legFacts are what a mirror says that it uses.
type legFacts struct {
	behind string
	bytes  int64
}

func parseDisk(out string) (diskFacts, error) {
	var d diskFacts
	for line := range strings.Lines(out) {
		if err := d.add(strings.Fields(line)); err != nil {
			return d, fmt.Errorf("look at it: unexpected line %q: %w", strings.TrimSpace(line), err)
		}
	}
	return d, nil
}

// add takes a line. What is not mounted has a short one.
func (d *diskFacts) add(f []string) (err error) {
	fields := map[string]int{"device": 8, "leg": 4, "profile": 3, "errors": 2}
	if len(f) == 0 || len(f) < fields[f[0]] {
		return errors.New("too short")
	}
	switch f[0] {
	case "shared":
		d.shared = parseMount(f[1:])
	case "data":
		d.data = parseMount(f[1:])
	case "mirror":
		d.mirror = parseMount(f[1:])
	case "device":
		bytes, failed := strconv.ParseInt(f[5], 10, 64)
		d.devices, err = append(d.devices, deviceFacts{f[1] + " " + f[2], f[3] + " " + f[4], bytes, f[6], f[6] + " " + f[7]}), failed
	case "leg":
		bytes, failed := strconv.ParseInt(f[3], 10, 64)
		d.legs, err = append(d.legs, legFacts{f[1] + " " + f[2], bytes}), failed
	case "profile":
		d.profiles = append(d.profiles, f[1:])
	case "errors":
		d.errors, err = strconv.Atoi(f[1])
	default:
		err = errors.New("of no known kind")
	}
	return err
}

func parseMount(f []string) mount {
	if len(f) < 3 {
		return mount{}
	}
	return mount{f[0], f[1], f[2]}
}

// check compares what was found with the disk that the node should have.
func (d diskFacts) check(want Disk, n *Node) error {
	if path.Base(d.shared.root) != n.DiskHost {
		return fmt.Errorf("its images are in %q, which is not of the host", d.shared.root)
	}
	if len(d.devices) != want.Devices {
		return fmt.Errorf("%d devices were found, want %d", len(d.devices), want.Devices)
	}
	for number, device := range d.devices {
		if device.behind != device.image {
			return fmt.Errorf("device %d is on another file (%s) than its image (%s)", number, device.behind, device.image)
		}
		if !want.Mirrored && device.bytes != want.Bytes {
			return fmt.Errorf("device %d has %d bytes, want %d", number, device.bytes, want.Bytes)
		}
	}
	below, filesystem := d.devices[0].device, "ext4"
	if want.Mirrored {
		below, filesystem = d.mirror.device, "btrfs"
		if err := d.checkMirror(want); err != nil {
			return err
		}
	}
	if data := (mount{below, "/" + n.Name, filesystem}); d.data != data {
		return fmt.Errorf("%s is %s%s (%s), want the directory %s of %s (%s)",
			EtcdData, d.data.device, d.data.root, d.data.filesystem, data.root, data.device, data.filesystem)
	}
	return nil
}

// checkMirror proves that the mirror has exactly its devices, that it keeps everything
// twice, and that none of them has had errors.
func (d diskFacts) checkMirror(want Disk) error {
	if len(d.legs) != want.Devices {
		return fmt.Errorf("the mirror has %d devices, want %d: one is missing", len(d.legs), want.Devices)
	}
	for number, device := range d.devices {
		k := slices.IndexFunc(d.legs, func(l legFacts) bool { return l.behind == device.leg })
		if k < 0 {
			return fmt.Errorf("the mirror uses %v, which is not device %d", d.legs, number)
		}
		// A rebuild may take half as much again, for good: see ReplaceDevice.
		if bytes := d.legs[k].bytes; bytes < want.Bytes || bytes > want.Bytes*3/2 {
			return fmt.Errorf("the mirror uses %d bytes of device %d, want %d", bytes, number, want.Bytes)
		}
	}
	for _, kind := range []string{"Data", "Metadata", "System"} {
		if !slices.ContainsFunc(d.profiles, func(p []string) bool { return p[0] == kind }) {
			return fmt.Errorf("the mirror does not say how it keeps its %s", strings.ToLower(kind))
		}
	}
	for _, p := range d.profiles {
		if p[1] != "RAID1" {
			return fmt.Errorf("the mirror keeps %s as %s, want RAID1", strings.ToLower(p[0]), p[1])
		}
	}
	if d.errors > 0 {
		return fmt.Errorf("the devices of the mirror have had %d errors: replace the device that has failed", d.errors)
	}
	return nil
}
