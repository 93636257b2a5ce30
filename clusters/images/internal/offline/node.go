package offline

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"faultline/clusters/engine/workspace"
)

//go:embed tools.sh
var toolsScript string

//go:embed node.sh
var nodeScript string

//go:embed preload.sh
var preloadScript string

//go:embed podnet.yaml
var podnetManifest string

//go:embed storage.yaml
var storageManifest string

// MaxData is the most that the containerd data of a node may take, in bytes.
// It is copied for every node of every cluster.
const MaxData = 450_000_000

// NodeImage is the name of the node image of this recipe.
func (b *Builder) NodeImage() (string, error) {
	sum, err := b.nodeHash()
	return "faultline/node:" + b.KubernetesVersion() + "-" + sum, err
}

// nodeHash covers everything that a node image is made of.
func (b *Builder) nodeHash() (string, error) {
	parts := []string{b.rootfsImage(), toolsScript, nodeScript, preloadScript, podnetManifest, storageManifest}
	for _, c := range components {
		parts = append(parts, b.recipes[c.name])
	}
	for _, dir := range []string{"internal/offline", "podnet", "pause"} {
		sum, err := hashSources(filepath.Join(b.root, "clusters/images", dir))
		if err != nil {
			return "", fmt.Errorf("hash the sources of the node image: %w", err)
		}
		parts = append(parts, sum)
	}
	modules, err := hashModules(filepath.Join(b.root, "go.mod"))
	return hash(append(parts, modules)...), err
}

// Node builds the node image unless the engine has it.
func (b *Builder) Node(ctx context.Context) (string, error) {
	name, err := b.NodeImage()
	if err != nil || b.exists(ctx, name) {
		return name, err
	}
	if err := supported(); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(b.cache, "node-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	var programs map[string]string
	parts, partsCtx := errgroup.WithContext(ctx)
	parts.Go(func() error { return b.rootfs(partsCtx) })
	parts.Go(func() (err error) { programs, err = b.programs(partsCtx, work); return err })
	if err := parts.Wait(); err != nil {
		return "", err
	}
	return name, b.assemble(ctx, name, work, programs)
}

// programs builds everything that runs in a node and returns where each
// executable is, by name.
func (b *Builder) programs(ctx context.Context, work string) (map[string]string, error) {
	found := map[string]string{}
	for _, c := range components {
		dir, err := b.build(ctx, c)
		if err != nil {
			return nil, err
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			found[e.Name()] = filepath.Join(dir, e.Name())
		}
	}
	for _, name := range []string{"podnet", "pause"} {
		found[name] = filepath.Join(work, name)
		step := b.progress.Step("build "+name, 40*time.Second)
		err := workspace.Build(ctx, "clusters/images/"+name, found[name])
		step.Done(err)
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// assemble makes the image out of its parts.
func (b *Builder) assemble(ctx context.Context, name, work string, programs map[string]string) (err error) {
	step := b.progress.Step("assemble "+name, 40*time.Second)
	defer func() { step.Done(err) }()
	shared, err := scriptsFolder(work)
	if err != nil {
		return err
	}
	container, remove, err := b.container(ctx, "node", "--privileged", "--network=none", "--volume="+shared+":/build",
		"--env=container=docker", "--stop-signal=SIGRTMIN+3", "--entrypoint=sleep", b.rootfsImage(), "infinity")
	if err != nil {
		return fmt.Errorf("start the build container: %w", err)
	}
	defer remove()
	step.Update("copying programs")
	files, err := b.nodeFiles(ctx, programs)
	if err != nil {
		return err
	}
	if err := b.unpack(ctx, container, files); err != nil {
		return err
	}
	if _, err := b.engine.Exec(ctx, container, "bash", "/build/node.sh"); err != nil {
		return fmt.Errorf("set up the node's system: %w", err)
	}
	step.Update("preloading images")
	size, err := b.preload(ctx, container, work, programs)
	if err != nil {
		return err
	}
	step.Update("committing")
	return b.commit(ctx, container, name, map[string]string{
		KubernetesLabel: b.KubernetesVersion(),
		EtcdLabel:       b.EtcdVersion(),
		DataLabel:       strconv.FormatInt(size, 10),
	})
}

// scriptsFolder makes the folder that the build container sees as /build. It
// has the scripts, and room for containerd's data.
func scriptsFolder(work string) (string, error) {
	dir := filepath.Join(work, "build")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	for name, script := range map[string]string{"tools.sh": toolsScript, "node.sh": nodeScript, "preload.sh": preloadScript} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// unpack writes files into a container.
func (b *Builder) unpack(ctx context.Context, container string, files []entry) error {
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(writeEntries(writer, files)) }()
	_, err := b.engine.ExecInput(ctx, container, reader, "tar", "-x", "-C", "/", "--no-overwrite-dir")
	reader.CloseWithError(err)
	if err != nil {
		return fmt.Errorf("copy files into the build container: %w", err)
	}
	return nil
}

// commit makes an image of a container, with the entry point of a node.
func (b *Builder) commit(ctx context.Context, container, name string, labels map[string]string) error {
	args := []string{"commit", "--change", `ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]`, "--change", "LABEL " + BuildLabel + "=image"}
	for key, value := range labels {
		args = append(args, "--change", fmt.Sprintf("LABEL %s=%s", key, value))
	}
	if _, err := b.engine.Run(ctx, append(args, container, name)...); err != nil {
		return fmt.Errorf("commit the node image: %w", err)
	}
	return nil
}

// nodeFiles are the files of a node that no package brings.
func (b *Builder) nodeFiles(ctx context.Context, programs map[string]string) ([]entry, error) {
	files, err := b.kindFiles(ctx)
	if err != nil {
		return nil, err
	}
	for dir, names := range map[string][]string{
		"usr/bin/":       {"kubeadm", "kubelet", "kubectl"},
		"usr/local/bin/": {"containerd", "containerd-shim-runc-v2", "ctr", "crictl", "etcd", "etcdctl", "etcdutl"},
		"opt/cni/bin/":   {"bridge", "host-local", "loopback", "portmap", "ptp"},
	} {
		for _, name := range names {
			files = append(files, entry{name: dir + name, mode: 0o755, disk: programs[name]})
		}
	}
	fill := strings.NewReplacer("${PODNET_IMAGE}", podnetImage, "${PROVISIONER_IMAGE}", b.provisionerImage(), "${HELPER_IMAGE}", helperImage)
	return append(files,
		entry{name: "kind/version", mode: 0o644, text: b.KubernetesVersion()},
		entry{name: "kind/manifests/default-cni.yaml", mode: 0o644, text: fill.Replace(podnetManifest)},
		entry{name: "kind/manifests/default-storage.yaml", mode: 0o644, text: fill.Replace(storageManifest)},
	), nil
}

// kindFiles are the files of kind's base image, out of kind's module.
func (b *Builder) kindFiles(ctx context.Context) ([]entry, error) {
	out, err := goCommand(ctx, b.root, "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kind").Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		return nil, fmt.Errorf("find kind's module, try 'go mod download sigs.k8s.io/kind': %w", err)
	}
	base := filepath.Join(dir, "images/base/files")
	var files []entry
	err = filepath.WalkDir(base, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(base, path)
		files = append(files, entry{name: filepath.ToSlash(name), mode: modeOf(name), disk: path})
		return err
	})
	return files, err
}

// modeOf tells scripts from other files, as kind's Dockerfile does.
func modeOf(name string) int64 {
	if strings.HasPrefix(name, "usr/local/bin/") || strings.HasPrefix(name, "kind/bin/") {
		return 0o755
	}
	return 0o644
}

// preload puts the images that a cluster starts with into the node's
// containerd, and returns how big its data became.
func (b *Builder) preload(ctx context.Context, container, work string, programs map[string]string) (int64, error) {
	pause, err := b.pauseImage(ctx, container)
	if err != nil {
		return 0, err
	}
	everywhere, elsewhere, err := b.images(ctx, container, work, pause, programs)
	if err != nil {
		return 0, err
	}
	if err := b.checkRequired(ctx, container, slices.Concat(everywhere, elsewhere)); err != nil {
		return 0, err
	}
	if _, err := b.preloadStep(ctx, container, "start", nil); err != nil {
		return 0, err
	}
	if _, err := b.preloadStep(ctx, container, "unpack", everywhere); err != nil {
		return 0, err
	}
	if _, err := b.preloadStep(ctx, container, "keep", elsewhere); err != nil {
		return 0, err
	}
	out, err := b.preloadStep(ctx, container, "finish", nil)
	if err != nil {
		return 0, err
	}
	size, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("size of the containerd data: %w", err)
	}
	if size > MaxData {
		return 0, fmt.Errorf("the containerd data of a node is %d MB, at most %d MB are allowed: share more layers", size/1e6, MaxData/1_000_000)
	}
	return size, nil
}

func (b *Builder) preloadStep(ctx context.Context, container, step string, images []image) ([]byte, error) {
	var stdin io.Reader = bytes.NewReader(nil)
	if images != nil {
		reader, writer := io.Pipe()
		defer reader.Close()
		go func() { writer.CloseWithError(writeImages(writer, images)) }()
		stdin = reader
	}
	out, err := b.engine.ExecInput(ctx, container, stdin, "bash", "/build/preload.sh", step)
	if err != nil {
		return nil, fmt.Errorf("preload images into the node (%s): %w", step, err)
	}
	return out, nil
}

var sandboxImage = regexp.MustCompile(`sandbox_image\s*=\s*"([^"]+)"`)

// pauseImage is the image of pods' sandboxes that kind's configuration names.
func (b *Builder) pauseImage(ctx context.Context, container string) (string, error) {
	config, err := b.engine.Exec(ctx, container, "cat", "/etc/containerd/config.toml")
	if err != nil {
		return "", err
	}
	match := sandboxImage.FindSubmatch(config)
	if match == nil {
		return "", fmt.Errorf("kind's containerd configuration names no sandbox_image")
	}
	return string(match[1]), nil
}

// checkRequired asks kubeadm what it will want, and compares.
func (b *Builder) checkRequired(ctx context.Context, container string, images []image) error {
	out, err := b.engine.Exec(ctx, container, "kubeadm", "config", "images", "list", "--kubernetes-version", b.KubernetesVersion())
	if err != nil {
		return fmt.Errorf("ask kubeadm for its images: %w", err)
	}
	for _, wanted := range strings.Fields(string(out)) {
		has := slices.ContainsFunc(images, func(i image) bool { return i.name == wanted })
		if !has && !strings.Contains(wanted, "/pause:") {
			return fmt.Errorf("kubeadm wants %s, which the recipes do not build: set the version in clusters/images/recipes", wanted)
		}
	}
	return nil
}
