package fault

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"faultline/clusters"
)

// The faults on disks. A disk may hold the data of several members of its host: then
// they are hit together, whichever node is named, because it is one disk.
const (
	KindFailDevice   Kind = "fail-device"
	KindFillDisk     Kind = "fill-disk"
	KindFillInodes   Kind = "fill-inodes"
	KindThrottleDisk Kind = "throttle-disk"
)

var diskEntries = []Entry{
	{KindFailDevice, "disk", "a device of an etcd's disk", "a disk of its own", "the device is given back, a mirror rebuilt", "reads and writes fail with EIO"},
	{KindFillDisk, "disk", "an etcd's disk", "a disk of its own", "the space is given back", "the filesystem says what is free, and what the filling takes"},
	{KindFillInodes, "disk", "an etcd's disk", "a disk of its own that is no mirror", "the inodes are given back", "no inode is free, and a new file is refused"},
	{KindThrottleDisk, "disk", "an etcd's disk", "a disk of its own, the kernel's I/O controller", "the limits are taken away", "the limit is set, and a synced write takes its time"},
	{KindStallDisk, "disk", "an etcd's disk", "a disk of its own", "the filesystem is thawed", "a write waits in the kernel"},
	{KindReadOnlyDisk, "disk", "an etcd's disk", "a disk of its own that is no mirror", "the disk is checked and mounted anew", "a write is refused (EROFS), and a read works"},
}

const (
	// diskLanding covers a node that is busy and another command that holds the disk.
	diskLanding = time.Minute
	// fillSlack is how much more than wanted a filled disk may have left.
	fillSlack = 2 << 20
	// The limits of a throttle in bytes a second: with less than the lower, a single
	// commit of a mirror takes longer than its proof may; the upper is none.
	minThrottle = 16 << 10
	maxThrottle = 1 << 30
	// throttleSample is at most how much the proof of a throttle writes.
	throttleSample = 1 << 20
)

// FailDevice ends a device of the disk that holds the data of the node's etcd: from then
// on each read and each write on it is an I/O error (EIO). What was synced before is on
// it; it stays failed after a reboot of the node. etcd on a plain disk ends with its next
// write and cannot start again. etcd on a mirror does not notice.
//
// Proof: a read and a write on the device fail with EIO, and a mirror can still be
// written. Undo: a plain disk gets the device back with its data, and an etcd that has
// files of the dead one open is killed; a mirror gets a new device and is rebuilt, see
// clusters.Node.ReplaceDevice. Healed: etcd runs and stays, and the disk is whole.
func FailDevice(n *clusters.Node, device int) Fault {
	return onDisk(KindFailDevice, n, fmt.Sprintf("device %d of ", device), func(ctx context.Context, id string) (effect, error) {
		if err := n.CheckDevice(device); err != nil {
			return effect{}, err
		}
		number := strconv.Itoa(device)
		return effect{
			inject:  command(failScript, id, number),
			undo:    command(unfailScript, id, number),
			prove:   func(ctx context.Context) (string, error) { return proveFailed(ctx, n, device) },
			landing: diskLanding,
		}, nil
	})
}

// FillDisk leaves that many bytes (to 1 MiB) of the disk that holds the data of the
// node's etcd. etcd goes on as long as it can use what it has allocated, and ends when
// it needs more (ENOSPC).
//
// Proof: the filesystem says that no more is free, and the filling takes space. Undo: the
// space is given back. Healed: etcd runs and stays, and the disk is whole.
func FillDisk(n *clusters.Node, leave int64) Fault {
	return onDisk(KindFillDisk, n, "", func(ctx context.Context, id string) (effect, error) {
		free, err := freeSpace(ctx, n)
		if err != nil {
			return effect{}, err
		}
		if leave < 0 || leave+fillSlack >= free {
			return effect{}, fmt.Errorf("%d bytes cannot be left of disk %s, of which %d are free: want at least 0, and %d less than are free",
				leave, n.Disk.Name, free, fillSlack)
		}
		return effect{
			inject:  command(fillScript, id, strconv.FormatInt(leave, 10)),
			undo:    command(freeScript, id),
			prove:   func(ctx context.Context) (string, error) { return proveFilled(ctx, n, leave) },
			landing: diskLanding,
		}, nil
	})
}

// FillInodes takes every inode of the disk that holds the data of the node's etcd, and leaves
// its space: no file can be made any more (ENOSPC, like a disk that is full, although df
// shows room). etcd goes on with the files that it has, of which one is a log made in
// advance, and ends when it needs another. One that ends for any reason cannot start
// again: it first makes a file to see whether it may write.
//
// Proof: the filesystem says that no inode is free, and a new file is refused. Undo: the
// inodes are given back. Healed: etcd runs and stays, and the disk is whole. A mirror has
// btrfs, which makes inodes as long as there is space.
func FillInodes(n *clusters.Node) Fault {
	return onDisk(KindFillInodes, n, "", func(_ context.Context, id string) (effect, error) {
		if n.Disk.Mirrored {
			return effect{}, fmt.Errorf("%w: disk %s is a mirror, whose filesystem btrfs has no fixed number of inodes", clusters.ErrUnsupported, n.Disk.Name)
		}
		return effect{
			inject:  command(takeInodesScript, id),
			undo:    command(freeScript, id),
			prove:   func(ctx context.Context) (string, error) { return proveNoInodes(ctx, n) },
			landing: diskLanding,
		}, nil
	})
}

// ThrottleDisk slows the disk that holds the data of the node's etcd down, for etcd, to
// that many bytes a second for reading and as many for writing. The kernel's I/O
// controller delays what etcd itself reads and syncs. It limits control groups one by one
// (version 1 does not pass limits on to children), so a unit on each node of the host
// goes on to limit each etcd that starts, also after a reboot.
//
// Proof: every etcd of the node bears the limit, and a synced write among them takes the
// time that follows from it. Undo: the limits are taken away. Healed: etcd runs and
// stays, and the disk is whole.
func ThrottleDisk(n *clusters.Node, bytesPerSecond int64) Fault {
	return onDisk(KindThrottleDisk, n, "", func(ctx context.Context, id string) (effect, error) {
		if bytesPerSecond < minThrottle || bytesPerSecond > maxThrottle {
			return effect{}, fmt.Errorf("a limit of %d bytes a second is out of range: want %d to %d", bytesPerSecond, minThrottle, maxThrottle)
		}
		if _, err := limits(ctx, n); err != nil {
			return effect{}, fmt.Errorf("the disk of node %s cannot be throttled: %w", n.Name, err)
		}
		return effect{
			inject:  command(throttleScript, id, strconv.FormatInt(bytesPerSecond, 10)),
			undo:    command(unthrottleScript, id),
			prove:   func(ctx context.Context) (string, error) { return proveThrottled(ctx, n, bytesPerSecond) },
			landing: diskLanding,
		}, nil
	})
}

// What the faults do on the node, each for the fault $1.
const (
	failScript       = enter + armed + clusters.DiskTool + ` fail "$2"`
	unfailScript     = enter + clusters.DiskTool + ` restore "$2"` + "\n" + leave
	fillScript       = enter + armed + clusters.DiskTool + ` fill "$2"`
	takeInodesScript = enter + armed + clusters.DiskTool + " fill_inodes"
	freeScript       = enter + clusters.DiskTool + " free\n" + leave
	throttleScript   = enter + armed + clusters.DiskTool + ` throttle "$2"`
	unthrottleScript = enter + clusters.DiskTool + " unthrottle\n" + leave
)

// onDisk is a fault on the node's disk or a part of it. It is refused while the disk bears
// another one: a mirror that is full, say, could not be rebuilt.
func onDisk(kind Kind, n *clusters.Node, of string, plan func(ctx context.Context, id string) (effect, error)) Fault {
	p := part{kind: kind, target: "the disk of a missing node", node: n, takes: storedWith(kind, n)}
	if n != nil {
		p.target = "the disk of node " + n.Name
		if n.Disk != nil {
			p.target = fmt.Sprintf("%sdisk %s of host %s", of, n.Disk.Name, n.DiskHost)
		}
	}
	p.plan = func(ctx context.Context, id string) (effect, error) {
		if n.Disk == nil {
			return effect{}, fmt.Errorf("node %s has no disk of its own: take one whose topology names a disk", n.Name)
		}
		marks, err := n.DiskStatus(ctx)
		if err != nil {
			return effect{}, fmt.Errorf("look at disk %s of node %s: %w", n.Disk.Name, n.Name, err)
		}
		if len(marks) > 0 {
			return effect{}, fmt.Errorf("disk %s of host %s is broken already (%s): mend it first", n.Disk.Name, n.DiskHost, strings.Join(marks, ", "))
		}
		e, err := plan(ctx, id)
		e.recovered = func(ctx context.Context) (time.Time, error) { return diskRecovered(ctx, n) }
		return e, err
	}
	return Fault{Kind: kind, TTL: DefaultTTL, parts: []part{p}}
}

// storedWith is for a part that takes every etcd with data on the node's disk. A mirror
// outlives one device, and a slow disk serves.
func storedWith(kind Kind, n *clusters.Node) func(*clusters.Cluster) clusters.Instances {
	return func(c *clusters.Cluster) clusters.Instances {
		if n.Disk == nil || kind == KindThrottleDisk || kind == KindFailDevice && n.Disk.Mirrored {
			return nil
		}
		var all clusters.Instances
		for _, other := range c.Nodes {
			if other.Disk != nil && other.Disk.Name == n.Disk.Name && other.DiskHost == n.DiskHost {
				all = append(all, other.Instances(clusters.Etcd)...)
			}
		}
		return all
	}
}

// diskRecovered waits until the node's etcd runs and stays, and its disk is whole.
func diskRecovered(ctx context.Context, n *clusters.Node) (time.Time, error) {
	var last time.Time
	for _, i := range n.Instances(clusters.Etcd) {
		since, err := continued(i)(ctx)
		if err != nil {
			return since, err
		}
		if since.After(last) {
			last = since
		}
	}
	return last, clusters.Await(ctx, healingPoll, "a whole disk", n.CheckDisk)
}

// deviceScript prints what a read and a write on the device that is mounted on $1 come
// to, and then whether the mirror on $2, if there is one, can be written.
const deviceScript = `export LC_ALL=C
try() { if why=$("$@" 2>&1); then echo works; else echo "${why##*: }"; fi; }
try dd if="$1/device" of=/dev/null bs=4096 count=1 status=none
try dd if=/dev/zero of="$1/.probe" bs=4096 count=1 oflag=dsync status=none
[ "$2" ] || exit 0
try dd if=/dev/zero of="$2/.probe" bs=4096 count=1 oflag=dsync status=none
rm -f "$2/.probe"
`

// ioError is what the C library calls EIO.
const ioError = "Input/output error"

func proveFailed(ctx context.Context, n *clusters.Node, device int) (string, error) {
	name, mirror := fmt.Sprintf("%s-%d", n.Disk.Name, device), ""
	if n.Disk.Mirrored {
		mirror = clusters.DevicesDir + "/" + n.Disk.Name
	}
	out, err := n.Exec(ctx, command(deviceScript, clusters.DevicesDir+"/"+name, mirror)...)
	if err != nil {
		return "", err
	}
	results := strings.Split(strings.TrimSpace(string(out)), "\n")
	want := []string{ioError, ioError}
	proof := fmt.Sprintf("reading and writing device %s are I/O errors (EIO)", name)
	if n.Disk.Mirrored {
		want = append(want, "works")
		proof += ", and the mirror can be written"
	}
	if len(results) != len(want) {
		return "", fmt.Errorf("device %s: unexpected answer %q", name, out)
	}
	for k, what := range []string{"a read on device " + name, "a write on device " + name, "a write on its mirror"}[:len(want)] {
		if results[k] != want[k] {
			return "", fmt.Errorf("%s: %s, want: %s", what, results[k], want[k])
		}
	}
	return proof, nil
}

// freeSpace is how many bytes of the node's disk are free.
func freeSpace(ctx context.Context, n *clusters.Node) (int64, error) {
	out, err := n.Exec(ctx, "df", "--block-size=1", "--output=avail", clusters.EtcdData)
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(out)) // a heading and the number
	if len(f) != 2 {
		return 0, fmt.Errorf("free space of disk %s: unexpected answer %q", n.Disk.Name, out)
	}
	return strconv.ParseInt(f[1], 10, 64)
}

// fillingScript prints how many bytes the files take that fill the filesystem on $1.
const fillingScript = `find "$1" -maxdepth 1 -name '.fill-*' -printf '%b\n' | awk '{ n += $1 } END { printf "%.0f\n", n * 512 }'
`

// proveFilled wants the filling to be there, too: the disk may have been as full before.
func proveFilled(ctx context.Context, n *clusters.Node, leave int64) (string, error) {
	free, err := freeSpace(ctx, n)
	if err != nil {
		return "", err
	}
	out, err := n.Exec(ctx, command(fillingScript, topOf(n))...)
	if err != nil {
		return "", err
	}
	filling, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	switch {
	case err != nil:
		return "", fmt.Errorf("filling of disk %s: unexpected answer %q", n.Disk.Name, out)
	case free > leave+fillSlack:
		return "", fmt.Errorf("%d bytes of disk %s are free, want %d", free, n.Disk.Name, leave)
	case filling == 0:
		return "", fmt.Errorf("nothing fills disk %s, although only %d bytes are free", n.Disk.Name, free)
	}
	return fmt.Sprintf("%d bytes of disk %s are free, and the filling takes %d", free, n.Disk.Name, filling), nil
}

// topOf is where the filesystem is mounted that holds the data.
func topOf(n *clusters.Node) string {
	if n.Disk.Mirrored {
		return clusters.DevicesDir + "/" + n.Disk.Name
	}
	return clusters.DevicesDir + "/" + n.Disk.Name + "-0"
}

// newFileScript prints how many inodes are free on $1, and what making a file comes to.
const newFileScript = `export LC_ALL=C
df --output=iavail "$1" | tail -n 1
if why=$(touch "$1/.probe" 2>&1); then rm -f "$1/.probe"; echo works; else echo "$why" | sed 's/.*: //'; fi
`

// noSpace is what the C library calls ENOSPC.
const noSpace = "No space left on device"

func proveNoInodes(ctx context.Context, n *clusters.Node) (string, error) {
	out, err := n.Exec(ctx, command(newFileScript, clusters.EtcdData)...)
	if err != nil {
		return "", err
	}
	free, result, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if free != "0" || result != noSpace {
		return "", fmt.Errorf("disk %s has %q free inodes and a new file: %s; want none and: %s", n.Disk.Name, free, result, noSpace)
	}
	return fmt.Sprintf("no inode of disk %s is free, and a new file is refused (ENOSPC)", n.Disk.Name), nil
}

// limits asks the kernel for the limit of each etcd for each device, 0 for none.
func limits(ctx context.Context, n *clusters.Node) ([]string, error) {
	out, err := n.Exec(ctx, clusters.DiskTool, "limits")
	return strings.Fields(string(out)), err
}

func proveThrottled(ctx context.Context, n *clusters.Node, rate int64) (string, error) {
	found, err := limits(ctx, n)
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", errors.New("no device was found that could bear a limit")
	}
	for _, limit := range found {
		if limit != strconv.FormatInt(rate, 10) {
			return "", fmt.Errorf("an etcd has the limit %s, want %d bytes a second", limit, rate)
		}
	}
	sample := min(rate, throttleSample)
	out, err := n.Exec(ctx, clusters.DiskTool, "time_write", strconv.FormatInt(sample, 10))
	if err != nil {
		return "", fmt.Errorf("time a write: %w", err)
	}
	milliseconds, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return "", fmt.Errorf("time a write: %w", err)
	}
	// The kernel lets the first tenth of a second's worth pass at once.
	took, least := time.Duration(milliseconds)*time.Millisecond, time.Duration(float64(sample)/float64(rate)*float64(time.Second)/2)
	if took < least {
		return "", fmt.Errorf("writing %d bytes took %s, at least %s were expected", sample, took, least)
	}
	return fmt.Sprintf("etcd is limited to %d bytes a second, and %d bytes took %s", rate, sample, took), nil
}
