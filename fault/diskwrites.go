package fault

import (
	"context"
	"fmt"
	"strings"

	"faultline/clusters"
)

// The faults on what a disk makes of writes.
const (
	KindStallDisk    Kind = "stall-disk"
	KindReadOnlyDisk Kind = "read-only-disk"
)

// StallDisk lets every write to the disk that holds the data of the node's etcd wait, as
// when storage on a network is out of reach: there is no error, and it goes on later.
// The kernel still reads, and etcd serves what it has, until it waits for a write: then it
// sends no heartbeat either, and the others elect another leader. Nothing kills a process
// that waits (state D), so that neither etcd nor its node ends before the undo: the node
// can be neither switched off nor frozen meanwhile, and a cluster's removal first lets
// its disks go on.
//
// Proof: a write waits in the kernel. Undo: the filesystem is thawed, and all that has
// waited is written. Healed: etcd runs and stays, and the disk is whole.
func StallDisk(n *clusters.Node) Fault {
	return onDisk(KindStallDisk, n, "", func(_ context.Context, id string) (effect, error) {
		return effect{
			inject:  command(stallScript, id),
			undo:    command(resumeDiskScript, id),
			prove:   func(ctx context.Context) (string, error) { return proveStalled(ctx, n) },
			landing: diskLanding,
		}, nil
	})
}

// ReadOnlyDisk makes the disk that holds the data of the node's etcd read-only, as ext4
// does itself when it meets an error (errors=remount-ro, the default of most systems): it
// is told of one. From then on writes are refused (EROFS), also to files that are open,
// and what was not synced is lost; reads work. etcd ends with its next write and cannot
// start again. It stays so after a reboot of the node. A mirror has btrfs, which cannot
// be told of an error.
//
// Proof: a write is refused with EROFS, and a read works. Undo: the disk is checked
// (e2fsck) and mounted anew with its data, and an etcd that has files of the dead mount
// open is killed. Healed: etcd runs and stays, and the disk is whole.
func ReadOnlyDisk(n *clusters.Node) Fault {
	return onDisk(KindReadOnlyDisk, n, "", func(ctx context.Context, id string) (effect, error) {
		if n.Disk.Mirrored {
			return effect{}, fmt.Errorf("%w: disk %s is a mirror, whose filesystem btrfs cannot be told of an error", clusters.ErrUnsupported, n.Disk.Name)
		}
		out, err := n.Exec(ctx, "sh", "-c", lookForTrigger)
		if err != nil {
			return effect{}, err
		}
		if len(out) == 0 {
			return effect{}, fmt.Errorf("%w: the kernel of node %s has no /sys/fs/ext4/*/trigger_fs_error", clusters.ErrUnsupported, n.Name)
		}
		return effect{
			inject:  command(protectScript, id),
			undo:    command(unprotectScript, id),
			prove:   func(ctx context.Context) (string, error) { return proveReadOnly(ctx, n) },
			landing: diskLanding,
		}, nil
	})
}

// lookForTrigger lists what ext4 can be told of an error by.
const lookForTrigger = "ls /sys/fs/ext4/loop*/trigger_fs_error 2>/dev/null || true"

// What the faults do on the node, each for the fault $1.
const (
	stallScript      = enter + armed + clusters.DiskTool + " stall"
	resumeDiskScript = enter + clusters.DiskTool + " resume\n" + leave
	protectScript    = enter + armed + clusters.DiskTool + " protect"
	unprotectScript  = enter + clusters.DiskTool + " unprotect\n" + leave
)

// waitingScript writes to $1 and prints, after a second, the state of the process that
// does, or "ended". One that waits goes on, and ends, after the undo.
const waitingScript = clusters.ProcStatFunction + `sh -c 'echo >"$1/.probe-$2"; rm -f "$1/.probe-$2"' sh "$1" "$(date +%N)" </dev/null >/dev/null 2>&1 &
writer=$!
sleep 1
procstat "$writer"
if [ "$state" ]; then echo "$state"; else echo ended; fi
`

func proveStalled(ctx context.Context, n *clusters.Node) (string, error) {
	out, err := n.Exec(ctx, command(waitingScript, clusters.EtcdData)...)
	if err != nil {
		return "", err
	}
	// Z: it has ended, and nobody has asked for its status.
	if state := strings.TrimSpace(string(out)); state != "D" {
		return "", fmt.Errorf("a write to disk %s does not wait for it: the process is %s, want state D", n.Disk.Name, state)
	}
	return fmt.Sprintf("a write to disk %s has waited in the kernel for a second (state D)", n.Disk.Name), nil
}

// readOnly is what the C library calls EROFS.
const readOnly = "Read-only file system"

// readWriteScript prints what a read of the device that is mounted on $1 and a write of
// data on $2 come to.
const readWriteScript = `export LC_ALL=C
try() { if why=$("$@" 2>&1); then echo works; else echo "$why" | sed 's/.*: //'; fi; }
try dd if="$1/device" of=/dev/null bs=4096 count=1 status=none
try dd if=/dev/zero of="$2/.probe" bs=4096 count=1 oflag=dsync status=none
rm -f "$2/.probe" 2>/dev/null || true
`

func proveReadOnly(ctx context.Context, n *clusters.Node) (string, error) {
	out, err := n.Exec(ctx, command(readWriteScript, clusters.DevicesDir+"/"+n.Disk.Name+"-0", clusters.EtcdData)...)
	if err != nil {
		return "", err
	}
	read, write, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if read != "works" || write != readOnly {
		return "", fmt.Errorf("disk %s: a read: %s, a write: %s; want the write refused: %s", n.Disk.Name, read, write, readOnly)
	}
	return fmt.Sprintf("a write to disk %s is refused (EROFS), and a read works", n.Disk.Name), nil
}
