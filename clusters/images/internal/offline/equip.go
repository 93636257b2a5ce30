package offline

import (
	"context"
	_ "embed"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

//go:embed equip.sh
var equipScript string

// EquippedImage is the name of a node image from elsewhere after [Builder.Equip].
func (b *Builder) EquippedImage(base string) string {
	return "faultline/equipped:" + hash(base, equipScript, b.recipes["etcd"])
}

// Equip adds to a node image from elsewhere what the image that is built here has and
// kind's lacks: etcd as a program, HAProxy and keepalived, for machines beside a
// cluster, and the tools of mirrored disks. The packages come from where the image's
// own distribution gets them.
func (b *Builder) Equip(ctx context.Context, base string) (name string, err error) {
	name = b.EquippedImage(base)
	if b.exists(ctx, name) {
		return name, nil
	}
	programs, err := b.etcdPrograms(ctx)
	if err != nil {
		return "", err
	}
	step := b.progress.Step("equip "+base, time.Minute)
	defer func() { step.Done(err) }()
	container, remove, err := b.container(ctx, "equip", "--entrypoint=sleep", base, "infinity")
	if err != nil {
		return "", fmt.Errorf("start %s: %w", base, err)
	}
	defer remove()
	if err := b.unpack(ctx, container, programs); err != nil {
		return "", err
	}
	if _, err := b.engine.Exec(ctx, container, "bash", "-c", equipScript); err != nil {
		return "", fmt.Errorf("add packages to %s (FAULTLINE_IMAGES=offline builds a node image instead): %w", base, err)
	}
	return name, b.commit(ctx, container, name, nil)
}

// etcdPrograms are etcd's executables, for the folder of the node image built here.
func (b *Builder) etcdPrograms(ctx context.Context) ([]entry, error) {
	n := slices.IndexFunc(components, func(c component) bool { return c.name == "etcd" })
	dir, err := b.build(ctx, components[n])
	if err != nil {
		return nil, err
	}
	var files []entry
	for _, name := range []string{"etcd", "etcdctl", "etcdutl"} {
		files = append(files, entry{name: "usr/local/bin/" + name, mode: 0o755, disk: filepath.Join(dir, name)})
	}
	return files, nil
}
