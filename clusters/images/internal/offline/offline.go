// Package offline builds kind's images where no registry answers: from Go
// modules, Debian or Ubuntu packages and this project's own programs.
//
// Every image's tag has a hash of all that goes into it, so that an image that
// exists is right, and one that changes gets another name. What the images are
// made of is in the folders beside this one: recipes holds a go.mod and a
// go.sum per component, podnet, loadbalancer, workload and pause the sources
// of the project's programs.
package offline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"faultline/clusters/engine"
	"faultline/clusters/engine/workspace"
	"faultline/clusters/progress"
)

const (
	// BuildLabel is on every container (value "container") and image (value
	// "image") that a build makes.
	BuildLabel = "faultline.build"
	// RecipeLabel has the hash of the recipe that an image was built from.
	RecipeLabel = "faultline.recipe"
	// KubernetesLabel, EtcdLabel and LoadBalancerLabel tell what is inside.
	KubernetesLabel   = "faultline.kubernetes"
	EtcdLabel         = "faultline.etcd"
	LoadBalancerLabel = "faultline.loadbalancer"
	// DataLabel has the size of the node's containerd data, in bytes.
	DataLabel = "faultline.containerd-bytes"
)

// Builder builds the images. Make one with [New].
type Builder struct {
	engine   *engine.Engine
	progress *progress.Printer
	root     string // of the project
	cache    string
	codename string            // of the distribution: bookworm, noble
	recipes  map[string]string // hash of each component's recipe
	versions map[string]string // version of each component
}

// New prepares a builder. It reads the recipes but runs and changes nothing
// that takes longer than a moment.
func New(e *engine.Engine, p *progress.Printer) (*Builder, error) {
	root, err := workspace.Root()
	if err != nil {
		return nil, err
	}
	cache, err := workspace.Cache()
	if err != nil {
		return nil, err
	}
	b := &Builder{engine: e, progress: p, root: root, cache: cache, codename: hostCodename(), recipes: map[string]string{}, versions: map[string]string{}}
	for _, c := range components {
		if b.versions[c.name], err = moduleVersion(filepath.Join(root, recipesDir, c.name, "go.mod"), c.module); err != nil {
			return nil, err
		}
		if b.recipes[c.name], err = c.hash(root, b.versions[c.name]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// KubernetesVersion is the version that the recipe pins, such as v1.37.1.
func (b *Builder) KubernetesVersion() string { return b.versions["kubernetes"] }

// EtcdVersion is the version that the recipe pins, such as v3.7.0.
func (b *Builder) EtcdVersion() string { return b.versions["etcd"] }

// Versions of Kubernetes and etcd in a node image; not ok for an image that
// was not built here.
func (b *Builder) Versions(ctx context.Context, image string) (kubernetes, etcd string, ok bool) {
	kubernetes = b.label(ctx, image, KubernetesLabel)
	return kubernetes, b.label(ctx, image, EtcdLabel), kubernetes != ""
}

// Names of all images that this recipe makes under names of its own.
func (b *Builder) Names() ([]string, error) {
	node, err := b.NodeImage()
	if err != nil {
		return nil, err
	}
	workload, err := b.WorkloadImage()
	return []string{b.rootfsImage(), node, workload}, err
}

// supported says why this machine cannot build images, or nothing.
func supported() error {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return errors.New("building images without a registry needs Linux and root (debootstrap): run it with sudo, or give the machine access to a registry")
	}
	return nil
}

// exists tells whether the engine has the image.
func (b *Builder) exists(ctx context.Context, image string) bool {
	_, err := b.engine.Run(ctx, "image", "inspect", "--format", "{{.Id}}", image)
	return err == nil
}

// label is a label of an image, or nothing.
func (b *Builder) label(ctx context.Context, image, key string) string {
	out, _ := b.engine.Run(ctx, "image", "inspect", "--format", fmt.Sprintf("{{index .Config.Labels %q}}", key), image)
	return strings.TrimSpace(string(out))
}

// container starts a container that does nothing, for work inside of it. The
// returned function removes it, also after ctx ended.
func (b *Builder) container(ctx context.Context, name string, args ...string) (id string, remove func(), err error) {
	name = fmt.Sprintf("faultline-build-%s-%d", name, os.Getpid())
	argv := append([]string{"run", "-d", "--name", name, "--label", BuildLabel + "=container"}, args...)
	remove = func() { _, _ = b.engine.Run(context.WithoutCancel(ctx), "rm", "-f", "-v", name) }
	if _, err := b.engine.Run(ctx, argv...); err != nil {
		remove()
		return "", nil, err
	}
	return name, remove, nil
}

// temporary are the folders in the cache that a build makes and removes.
var temporary = []string{"rootfs-*", "node-*", "workload-*", "loadbalancer-*", "components/.building-*"}

// Sweep removes what a killed build left behind. The caller holds the lock,
// so no other build is running.
func (b *Builder) Sweep(ctx context.Context) error {
	for _, pattern := range temporary {
		old, err := filepath.Glob(filepath.Join(b.cache, pattern))
		if err != nil {
			return err
		}
		for _, dir := range old {
			if err := os.RemoveAll(dir); err != nil {
				return fmt.Errorf("remove what an interrupted build left: %w", err)
			}
		}
	}
	out, err := b.engine.Run(ctx, "ps", "-aq", "--filter", "label="+BuildLabel+"=container")
	if err != nil {
		return err
	}
	if ids := strings.Fields(string(out)); len(ids) > 0 {
		_, err = b.engine.Run(ctx, append([]string{"rm", "-f", "-v"}, ids...)...)
	}
	return err
}
