package offline

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"faultline/clusters/engine"
)

// packages of the root filesystem, beyond the distribution's minimum: what
// kind's base image has, runc, HAProxy for load balancers, keepalived for the
// address that two of them share, and btrfs for mirrored disks.
var packages = []string{
	"systemd", "dbus", "conntrack", "ebtables", "iptables", "ipset", "nftables", "iproute2", "ethtool", "util-linux", "mount", "kmod",
	"libseccomp2", "pigz", "e2fsprogs", "bash", "ca-certificates", "curl", "jq", "procps", "runc", "haproxy",
	"keepalived", "btrfs-progs",
}

// mirror is where the distribution's packages come from.
type mirror struct {
	site       string // http://deb.debian.org/debian
	components string // main,universe
}

// hostCodename is the name of the host's own release, such as bookworm.
func hostCodename() string {
	release, _ := os.ReadFile("/etc/os-release")
	return parseCodename(string(release))
}

func parseCodename(osRelease string) string {
	for line := range strings.Lines(osRelease) {
		if name, ok := strings.CutPrefix(line, "VERSION_CODENAME="); ok {
			return strings.Trim(strings.TrimSpace(name), `"`)
		}
	}
	return "unknown"
}

// hostMirror is the first mirror of the host's release, as apt knows it.
func hostMirror(ctx context.Context, codename string) (mirror, error) {
	out, err := command(ctx, "apt-get", "indextargets", "--format", "$(CREATED_BY) $(SITE) $(RELEASE) $(COMPONENT)").Output()
	if err != nil {
		return mirror{}, fmt.Errorf("apt-get indextargets: %w", err)
	}
	m := parseMirror(codename, string(out))
	if m.site == "" {
		return mirror{}, fmt.Errorf("apt knows no mirror of %s: look into /etc/apt/sources.list.d and run 'apt-get update'", codename)
	}
	return m, nil
}

func parseMirror(codename, targets string) (m mirror) {
	var components []string
	for line := range strings.Lines(targets) {
		words := strings.Fields(line)
		if len(words) != 4 || words[0] != "Packages" || words[2] != codename {
			continue
		}
		if m.site == "" {
			m.site = words[1]
		}
		if words[1] == m.site {
			components = append(components, words[3])
		}
	}
	m.components = strings.Join(components, ",")
	return m
}

// rootfsImage is the name of the image that nodes and load balancer start
// from. What a mirror offers today is not part of the name: an image that was
// built stays good.
func (b *Builder) rootfsImage() string {
	return "faultline/rootfs:" + b.codename + "-" + hash(b.codename, strings.Join(packages, " "), cleanScript)
}

// rootfs makes that image, unless the engine has it.
func (b *Builder) rootfs(ctx context.Context) (err error) {
	if b.exists(ctx, b.rootfsImage()) {
		return nil
	}
	if err := supported(); err != nil {
		return err
	}
	if err := engine.EnsureTools(ctx, engine.Options{Progress: b.progress}, engine.Tool{Binary: "debootstrap", Package: "debootstrap"}); err != nil {
		return fmt.Errorf("building images offline needs debootstrap: %w", err)
	}
	from, err := hostMirror(ctx, b.codename)
	if err != nil {
		return err
	}
	step := b.progress.Step("install the nodes' root filesystem with debootstrap", 75*time.Second)
	defer func() { step.Done(err) }()
	return b.debootstrap(ctx, from)
}

// debootstrap mounts things below its folder. It does so in a mount namespace
// of its own, so that nothing stays mounted however it ends.
func (b *Builder) debootstrap(ctx context.Context, from mirror) error {
	dir, err := os.MkdirTemp(b.cache, "rootfs-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	install := command(ctx, "debootstrap", "--variant=minbase", "--components="+from.components,
		"--include="+strings.Join(packages, ","), b.codename, dir, from.site)
	install.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	if err := run(install); ctx.Err() != nil {
		return fmt.Errorf("install the root filesystem: %w", context.Cause(ctx))
	} else if err != nil {
		return fmt.Errorf("install the root filesystem: %w\n%s", err, lastLines(filepath.Join(dir, "debootstrap/debootstrap.log"), 10))
	}
	if err := run(command(ctx, "sh", "-euc", cleanScript, "clean", dir)); err != nil {
		return fmt.Errorf("clean the root filesystem: %w", err)
	}
	return b.importFolder(ctx, dir, b.rootfsImage())
}

// cleanScript takes away what a node never reads.
const cleanScript = `cd "$1"
rm -rf var/cache/apt/* var/cache/debconf/* var/lib/apt/lists/* var/log/* tmp/* var/tmp/* debootstrap
rm -rf usr/share/doc/* usr/share/doc-base/* usr/share/man/* usr/share/info/* usr/share/locale/* usr/share/i18n/* usr/share/lintian/*
rm -f etc/machine-id etc/hostname etc/resolv.conf
: > etc/machine-id`

// importFolder makes an image of one layer out of a folder.
func (b *Builder) importFolder(ctx context.Context, dir, image string) error {
	archive := command(ctx, "tar", "-C", dir, "--numeric-owner", "-c", ".")
	var stderr bytes.Buffer
	archive.Stderr = &stderr
	pipe, err := archive.StdoutPipe()
	if err != nil {
		return err
	}
	if err := archive.Start(); err != nil {
		return err
	}
	_, imported := b.engine.RunInput(ctx, pipe, "import", "--change", "ENV PATH="+searchPath, "--change", "LABEL "+BuildLabel+"=image", "-", image)
	if imported != nil {
		_ = pipe.Close() // else tar would wait for somebody who reads the rest
	}
	if err := archive.Wait(); err != nil && imported == nil {
		_, _ = b.engine.Run(context.WithoutCancel(ctx), "rmi", "-f", image)
		return fmt.Errorf("tar -C %s: %w: %s", dir, err, stderr.String())
	}
	return imported
}

const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
