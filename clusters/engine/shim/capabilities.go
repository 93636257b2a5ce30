package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// names are the kernel's capabilities; the index is the number.
var names = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
	"CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN",
	"CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE",
	"CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// parseBounding reads the bounding set out of /proc/self/status.
func parseBounding(status string) (uint64, error) {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			return strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	return 0, fmt.Errorf("/proc/self/status has no CapBnd")
}

// refused tells whether a capability is outside the bounding set. One that
// this table does not know is left to runc.
func refused(name string, bounding uint64) bool {
	for number, known := range names {
		if known == strings.ToUpper(name) {
			return bounding&(1<<number) == 0
		}
	}
	return false
}

// rewrite removes refused capabilities from the file; it leaves alone a file
// that has none.
func rewrite(t target, bounding uint64) error {
	before, err := os.ReadFile(t.path)
	if err != nil {
		return err
	}
	after, changed, err := trimmed(before, t.nested, bounding)
	if err != nil {
		return fmt.Errorf("%s: %w", t.path, err)
	}
	if !changed {
		return nil
	}
	return replace(t.path, after)
}

// trimmed is the document without refused capabilities, in any of the five
// sets. Everything else in it stays byte for byte.
func trimmed(document []byte, nested bool, bounding uint64) (after []byte, changed bool, err error) {
	if nested {
		return edit(document, "process", func(process json.RawMessage) ([]byte, bool, error) {
			return trimmed(process, false, bounding)
		})
	}
	return edit(document, "capabilities", func(sets json.RawMessage) ([]byte, bool, error) {
		return trimSets(sets, bounding)
	})
}

// edit applies change to one member of a JSON object, if the object has it.
func edit(document []byte, key string, change func(json.RawMessage) ([]byte, bool, error)) ([]byte, bool, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(document, &object); err != nil {
		return nil, false, err
	}
	member, ok := object[key]
	if !ok || string(member) == "null" {
		return document, false, nil
	}
	after, changed, err := change(member)
	if err != nil || !changed {
		return document, false, err
	}
	object[key] = after
	document, err = json.Marshal(object)
	return document, true, err
}

func trimSets(document []byte, bounding uint64) ([]byte, bool, error) {
	var sets map[string][]string
	if err := json.Unmarshal(document, &sets); err != nil {
		return nil, false, err
	}
	changed := false
	for set, capabilities := range sets {
		kept := make([]string, 0, len(capabilities))
		for _, name := range capabilities {
			if !refused(name, bounding) {
				kept = append(kept, name)
			}
		}
		changed = changed || len(kept) < len(capabilities)
		sets[set] = kept
	}
	after, err := json.Marshal(sets)
	return after, changed, err
}

// replace swaps the content of a file in one step, keeping its mode.
func replace(path string, content []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fresh, err := os.CreateTemp(filepath.Dir(path), ".faultline-*")
	if err != nil {
		return err
	}
	defer os.Remove(fresh.Name())
	if _, err := fresh.Write(content); err != nil {
		return err
	}
	if err := fresh.Chmod(info.Mode().Perm()); err != nil {
		return err
	}
	if err := fresh.Close(); err != nil {
		return err
	}
	return os.Rename(fresh.Name(), path)
}
