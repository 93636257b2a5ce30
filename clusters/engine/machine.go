package engine

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// The open files that a busy control plane with its load balancer needs.
const (
	wantOpenFiles = 65536
	needOpenFiles = 4096
)

// examineKernel looks at what nodes and faults want from the kernel.
func examineKernel(need Requirements) []Check {
	return []Check{
		examineCgroups("/sys/fs/cgroup"),
		examineInotify(readInotify(), need.InotifyInstances),
		examineOpenFiles(openFilesLimit()),
		examineLoop("/dev/loop-control"),
		examineBtrfs(),
	}
}

func examineCgroups(root string) Check {
	check := Check{Name: "cgroups", Status: OK, Detail: "version 2"}
	if !CgroupV2(root) {
		check.Status = Warn
		check.Detail = "version 1: deprecated by Kubernetes, nodes are told to accept it"
		check.Fix = "boot with systemd.unified_cgroup_hierarchy=1"
	}
	return check
}

// CgroupV2 tells whether the hierarchy mounted at root (/sys/fs/cgroup) is
// version 2 alone; hybrid hierarchies count as version 1, as for kubelets.
func CgroupV2(root string) bool {
	_, err := os.Stat(filepath.Join(root, "cgroup.controllers"))
	return err == nil
}

func examineOpenFiles(limit uint64) Check {
	check := Check{Name: "open files", Status: OK, Detail: fmt.Sprintf("hard limit %d", limit)}
	switch {
	case limit == math.MaxUint64:
		check.Detail = "no limit"
	case limit < needOpenFiles:
		check.Status, check.Fix = Fail, fmt.Sprintf("ulimit -Hn %d, as root, before the engine starts", wantOpenFiles)
	case limit < wantOpenFiles:
		check.Status = Warn
		check.Detail += ": enough for small clusters"
		check.Fix = fmt.Sprintf("ulimit -Hn %d, as root, before the engine starts", wantOpenFiles)
	}
	return check
}

func openFilesLimit() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return limit.Max
}

func examineLoop(control string) Check {
	check := Check{Name: "loop devices", Status: OK, Detail: "available"}
	if _, err := os.Stat(control); err != nil {
		check.Status, check.Detail, check.Fix = Warn, "missing: disk faults are skipped", "sudo modprobe loop"
	}
	return check
}

func examineBtrfs() Check {
	filesystems, _ := os.ReadFile("/proc/filesystems")
	return judgeBtrfs(string(filesystems))
}

// judgeBtrfs looks for the kernel's part alone: the node images have the tools.
func judgeBtrfs(filesystems string) Check {
	for line := range strings.Lines(filesystems) {
		if strings.TrimSpace(strings.TrimPrefix(line, "nodev")) == "btrfs" {
			return Check{Name: "btrfs", Status: OK, Detail: "the kernel has it"}
		}
	}
	return Check{Name: "btrfs", Status: Warn, Detail: "the kernel does not have it: mirrored-disk topologies are skipped", Fix: "sudo modprobe btrfs"}
}

func examineMemory(need uint64) Check {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return Check{Name: "memory", Status: Warn, Detail: firstLine(err)}
	}
	return compare("memory", memoryField(string(text), "MemAvailable"), need, "stop other programs, or choose fewer or smaller topologies")
}

// TotalMemory is this machine's memory in bytes, 0 where it cannot be read.
func TotalMemory() uint64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	return memoryField(string(text), "MemTotal")
}

// memoryField is a field of /proc/meminfo in bytes.
func memoryField(meminfo, name string) uint64 {
	for line := range strings.Lines(meminfo) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kilobytes, _ := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kilobytes * 1024
		}
	}
	return 0
}

func examineDisk(ctx context.Context, e *Engine, need uint64) Check {
	dir := dataDir(ctx, e)
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return Check{Name: "disk", Status: Warn, Detail: fmt.Sprintf("%s: %v", dir, err)}
	}
	check := compare("disk", stat.Bavail*uint64(stat.Bsize), need, "free some: docker system prune, make clean")
	check.Detail += " in " + dir
	return check
}

// dataDir is where the engine keeps its data, or would, as far as the folder
// exists.
func dataDir(ctx context.Context, e *Engine) string {
	dir := "/var/lib/docker"
	if e != nil {
		format := map[string]string{"docker": "{{.DockerRootDir}}", "podman": "{{.Store.GraphRoot}}"}[e.Name()]
		if out, err := e.Run(ctx, "info", "--format", format); err == nil && strings.HasPrefix(string(out), "/") {
			dir = strings.TrimSpace(string(out))
		}
	}
	for dir != "/" {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

func compare(name string, have, need uint64, fix string) Check {
	check := Check{Name: name, Status: OK, Detail: gigabytes(have) + " free"}
	if need > 0 {
		check.Detail += ", " + gigabytes(need) + " needed"
	}
	if have < need {
		check.Status, check.Fix = Fail, fix
	}
	return check
}

func gigabytes(bytes uint64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }

func readNumber(path string) uint64 {
	text, _ := os.ReadFile(path)
	number, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return number
}
