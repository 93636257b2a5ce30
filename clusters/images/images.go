// Package images provides the container images that clusters are made of.
//
// Where a registry answers, nodes and load balancer are kind's own images.
// Where none does, they are built here from pinned Go modules and Debian or
// Ubuntu packages. The workload is this project's program in both cases.
//
// FAULTLINE_IMAGES=registry or offline forces one way. FAULTLINE_NODE_IMAGE
// names another node image.
package images

import (
	"context"
	"fmt"
	"os"
	"strings"

	"faultline/clusters/engine"
	"faultline/clusters/engine/workspace"
	"faultline/clusters/images/internal/offline"
	"faultline/clusters/progress"
)

// Where images come from.
const (
	Registry = "registry"
	Offline  = "offline"
)

// BuildLabel is on every container (value "container") and image (value
// "image") that this package makes; cleaning up goes by it.
const BuildLabel = offline.BuildLabel

// buildLock is held while images are made.
const buildLock = "images"

// Set is everything that a cluster needs, by the names that the engine knows.
type Set struct {
	Node, LoadBalancer, Workload string

	Origin            string // Registry or Offline: where the nodes come from
	KubernetesVersion string // v1.37.1
	EtcdVersion       string // v3.7.0
	LoadBalancerKind  string // envoy, or haproxy, which does the same in its place
}

// Ensure returns images that the engine has, after pulling or building what is
// missing. With nothing missing it takes well under two seconds. Processes
// that need the same images wait for each other.
func Ensure(ctx context.Context, e *engine.Engine, p *progress.Printer) (Set, error) {
	if set, ok, err := Ready(ctx, e); err != nil || ok {
		return set, err
	}
	release, err := workspace.Lock(ctx, buildLock)
	if err != nil {
		return Set{}, err
	}
	defer release()
	m, err := newMaker(e, p)
	if err != nil {
		return Set{}, err
	}
	if set, ok, err := m.ready(ctx); err != nil || ok {
		return set, err
	}
	return m.make(ctx)
}

// Ready is the cheap question whether [Ensure] would have nothing to do, and
// what it would return.
func Ready(ctx context.Context, e *engine.Engine) (set Set, ok bool, err error) {
	m, err := newMaker(e, nil)
	if err != nil {
		return Set{}, false, err
	}
	return m.ready(ctx)
}

// maker knows what the environment asks for and how to get it.
type maker struct {
	engine   *engine.Engine
	progress *progress.Printer
	builder  *offline.Builder
	forced   string // Registry, Offline or empty
	node     string // FAULTLINE_NODE_IMAGE
}

// OriginFromEnv reads FAULTLINE_IMAGES: Registry, Offline, or nothing where neither is forced.
func OriginFromEnv() (string, error) {
	switch forced := os.Getenv("FAULTLINE_IMAGES"); forced {
	case "", Registry, Offline:
		return forced, nil
	default:
		return "", fmt.Errorf("FAULTLINE_IMAGES=%q: want %s or %s, or nothing", forced, Registry, Offline)
	}
}

func newMaker(e *engine.Engine, p *progress.Printer) (*maker, error) {
	forced, err := OriginFromEnv()
	if err != nil {
		return nil, err
	}
	builder, err := offline.New(e, p)
	if err != nil {
		return nil, err
	}
	return &maker{engine: e, progress: p, builder: builder, forced: forced, node: os.Getenv("FAULTLINE_NODE_IMAGE")}, nil
}

// ready looks for a complete set: first kind's own images, then ours.
func (m *maker) ready(ctx context.Context) (Set, bool, error) {
	workload, err := m.builder.WorkloadImage()
	if err != nil || !m.has(ctx, workload) {
		return Set{}, false, err
	}
	if m.forced != Offline || m.node != "" {
		if set, ok := m.pulled(ctx); ok {
			set, err := m.describe(ctx, set, workload)
			return set, err == nil, err
		}
	}
	if m.forced == Registry || m.node != "" {
		return Set{}, false, nil
	}
	node, err := m.builder.NodeImage()
	if err != nil || !m.has(ctx, node) || !m.builder.LoadBalancerReady(ctx, loadBalancerImage) {
		return Set{}, false, err
	}
	set, err := m.describe(ctx, Set{Node: node, Origin: Offline}, workload)
	return set, err == nil, err
}

// make gets what is missing.
func (m *maker) make(ctx context.Context) (set Set, err error) {
	if err := m.builder.Sweep(ctx); err != nil {
		return Set{}, err
	}
	workload, err := m.builder.Workload(ctx)
	if err != nil {
		return Set{}, err
	}
	if m.fromRegistry(ctx) {
		set, err = m.pull(ctx)
	} else {
		set, err = m.build(ctx)
	}
	if err != nil {
		return Set{}, err
	}
	return m.describe(ctx, set, workload)
}

// build makes nodes and load balancer without a registry.
func (m *maker) build(ctx context.Context) (Set, error) {
	m.progress.Printf("No registry answers: building the images offline. The first time takes many minutes.")
	node, err := m.builder.Node(ctx)
	if err != nil {
		return Set{}, fmt.Errorf("build the node image: %w", err)
	}
	if err := m.builder.LoadBalancer(ctx, loadBalancerImage); err != nil {
		return Set{}, fmt.Errorf("build the load balancer's image: %w", err)
	}
	return Set{Node: node, Origin: Offline}, nil
}

// describe fills in what is inside the images. A node image that was built
// here says so itself; any other is asked.
func (m *maker) describe(ctx context.Context, set Set, workload string) (Set, error) {
	set.Workload, set.LoadBalancer = workload, loadBalancerImage
	set.LoadBalancerKind = m.builder.LoadBalancerKind(ctx, loadBalancerImage)
	if kubernetes, etcd, ok := m.builder.Versions(ctx, set.Node); ok {
		set.Origin, set.KubernetesVersion, set.EtcdVersion = Offline, kubernetes, etcd
		return set, nil
	}
	out, err := m.engine.Run(ctx, "run", "--rm", "--network=none", "--label", BuildLabel+"=container", "--entrypoint=sh", set.Node,
		"-c", "cat /kind/version; echo; kubeadm config images list --kubernetes-version $(cat /kind/version)")
	if err != nil {
		return Set{}, fmt.Errorf("ask the node image for its versions: %w", err)
	}
	set.KubernetesVersion, set.EtcdVersion = parseVersions(string(out))
	return set, nil
}

// parseVersions reads a version, and etcd's from kubeadm's list of images.
func parseVersions(text string) (kubernetes, etcd string) {
	for i, word := range strings.Fields(text) {
		if i == 0 {
			kubernetes = word
		}
		if _, tag, ok := strings.Cut(word, "/etcd:"); ok {
			tag, _, _ = strings.Cut(tag, "-")
			etcd = "v" + strings.TrimPrefix(tag, "v")
		}
	}
	return kubernetes, etcd
}

func (m *maker) has(ctx context.Context, image string) bool {
	_, err := m.engine.Run(ctx, "image", "inspect", "--format", "{{.Id}}", image)
	return err == nil
}
