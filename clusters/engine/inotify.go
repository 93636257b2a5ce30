package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// What kind's documentation recommends, see
// https://kind.sigs.k8s.io/docs/user/known-issues/#pod-errors-due-to-too-many-open-files.
const (
	wantWatches   = 524288
	wantInstances = 512
)

// inotify is what the kernel grants each user. All nodes are root's, and every systemd,
// kubelet and containerd of theirs keeps instances open.
type inotify struct {
	watches, instances uint64
	// used are the instances that root's processes have open already, as far as we may see.
	used uint64
}

func readInotify() inotify {
	return inotify{
		watches:   readNumber("/proc/sys/fs/inotify/max_user_watches"),
		instances: readNumber("/proc/sys/fs/inotify/max_user_instances"),
		used:      inotifyOfRoot("/proc"),
	}
}

// examineInotify fails where the nodes of a topology would not get the instances they
// need: kubeadm then dies in the middle of a boot, with an error that does not say so.
func examineInotify(have inotify, need uint64) Check {
	check := Check{Name: "inotify", Status: OK, Detail: fmt.Sprintf("%d watches, %d instances", have.watches, have.instances)}
	var fixes []string
	if have.watches < wantWatches {
		fixes = append(fixes, fmt.Sprintf("fs.inotify.max_user_watches=%d", wantWatches))
	}
	if have.instances < max(wantInstances, have.used+need) {
		fixes = append(fixes, fmt.Sprintf("fs.inotify.max_user_instances=%d", max(wantInstances, have.used+need)))
	}
	if fixes != nil {
		check.Status = Warn
		check.Detail += ": many nodes may run out of them"
		check.Fix = "sudo sysctl " + strings.Join(fixes, " ")
	}
	if need > 0 && have.instances < have.used+need {
		check.Status = Fail
		check.Detail = fmt.Sprintf("%d instances, of which root's processes use %d, and the nodes need %d", have.instances, have.used, need)
	}
	return check
}

// inotifyOfRoot counts the inotify instances that the processes below proc keep open.
// Processes that we may not look into count nothing.
func inotifyOfRoot(proc string) uint64 {
	var open uint64
	processes, _ := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	for _, process := range processes {
		info, err := os.Stat(process)
		if err != nil {
			continue
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); !ok || stat.Uid != 0 {
			continue
		}
		files, _ := filepath.Glob(filepath.Join(process, "fd", "*"))
		for _, file := range files {
			if target, err := os.Readlink(file); err == nil && target == "anon_inode:inotify" {
				open++
			}
		}
	}
	return open
}
