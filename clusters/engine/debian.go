package engine

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// A Tool is a program that the host needs and the Debian package that has it.
type Tool struct{ Binary, Package string }

// EnsureTools installs the tools that the host lacks, where the policy, the
// user and the system allow it. Otherwise the error has the command to run.
func EnsureTools(ctx context.Context, options Options, tools ...Tool) error {
	var packages []string
	for _, tool := range tools {
		if !onPath(tool.Binary) {
			packages = append(packages, tool.Package)
		}
	}
	if len(packages) == 0 {
		return nil
	}
	if reason := mayNotInstall(options.policy(), os.Geteuid(), readOSRelease()); reason != "" {
		return fmt.Errorf("missing on this machine: %s; %s. Install it with: %s",
			strings.Join(packages, ", "), reason, quote(installCommand(packages...)))
	}
	return aptInstall(ctx, options, packages...)
}

// onPath also looks into the system folders, which a user's PATH may lack.
func onPath(binary string) bool {
	if _, err := exec.LookPath(binary); err == nil {
		return true
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if _, err := os.Stat(dir + "/" + binary); err == nil {
			return true
		}
	}
	return false
}

// mayNotInstall is the reason why packages must not be installed, or nothing.
func mayNotInstall(policy Policy, euid int, release osRelease) string {
	switch {
	case policy == Never:
		return "FAULTLINE_BOOTSTRAP=never forbids installing anything"
	case !release.debian():
		return fmt.Sprintf("only Debian and Ubuntu can be set up automatically, this is %s", release.name())
	case euid != 0:
		return "only root can install packages"
	}
	return ""
}

func installCommand(packages ...string) []string {
	return append([]string{"apt-get", "install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"}, packages...)
}

// aptInstall refreshes the lists of packages, which may be missing or stale,
// and installs. Starting services may be denied (policy-rc.d); that is fine.
func aptInstall(ctx context.Context, options Options, packages ...string) (err error) {
	step := options.Progress.Step("install "+strings.Join(packages, ", ")+" with apt-get", 30*time.Second)
	defer func() { step.Done(err) }()
	if err := apt(ctx, "apt-get", "update", "-o", "DPkg::Lock::Timeout=120"); err != nil {
		return fmt.Errorf("refresh the lists of packages: %w", err)
	}
	if err := apt(ctx, installCommand(packages...)...); err != nil {
		return fmt.Errorf("install packages: %w", err)
	}
	return nil
}

func apt(ctx context.Context, argv ...string) error {
	cmd := command(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	_, err := run(cmd)
	return err
}

// osRelease is /etc/os-release.
type osRelease map[string]string

func readOSRelease() osRelease {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return nil
	}
	return parseOSRelease(string(text))
}

func parseOSRelease(text string) osRelease {
	fields := osRelease{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		key, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		if ok && !strings.HasPrefix(key, "#") {
			fields[key] = strings.Trim(value, `"'`)
		}
	}
	return fields
}

// debian tells Debian, Ubuntu and what is made from them.
func (r osRelease) debian() bool {
	ids := append(strings.Fields(r["ID_LIKE"]), r["ID"])
	return slices.Contains(ids, "debian") || slices.Contains(ids, "ubuntu")
}

func (r osRelease) name() string {
	if name := r["PRETTY_NAME"]; name != "" {
		return name
	}
	return "an unknown system"
}
