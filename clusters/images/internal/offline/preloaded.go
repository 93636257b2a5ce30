package offline

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	registry    = "registry.k8s.io/"
	podnetImage = "docker.io/faultline/podnet:built-in"
	helperImage = "docker.io/faultline/local-path-helper:built-in"
)

func (b *Builder) provisionerImage() string {
	return "docker.io/faultline/local-path-provisioner:" + b.versions["local-path-provisioner"]
}

// images are what a cluster starts with: those that most nodes run, and those
// that few nodes run. All of them share the layer with the tools.
func (b *Builder) images(ctx context.Context, container, work, pause string, programs map[string]string) (everywhere, elsewhere []image, err error) {
	tools, err := b.toolsLayer(ctx, container, work)
	if err != nil {
		return nil, nil, err
	}
	make := func(name string, entrypoint []string, names ...string) (i image) {
		if err != nil {
			return i
		}
		i = image{name: name, entrypoint: entrypoint, layers: []layer{tools}}
		if len(names) == 0 {
			return i
		}
		paths := []string{}
		for _, n := range names {
			paths = append(paths, programs[n])
		}
		var own layer
		own, err = programLayer(filepath.Join(work, names[0]+".tar"), paths...)
		i.layers = append(i.layers, own)
		return i
	}
	version := b.KubernetesVersion()
	everywhere = []image{
		make(pause, []string{"pause"}, "pause"),
		make(registry+"kube-apiserver:"+version, nil, "kube-apiserver"),
		make(registry+"kube-controller-manager:"+version, nil, "kube-controller-manager"),
		make(registry+"kube-scheduler:"+version, nil, "kube-scheduler"),
		make(registry+"kube-proxy:"+version, nil, "kube-proxy"),
		make(registry+"etcd:"+strings.TrimPrefix(b.EtcdVersion(), "v")+"-0", nil, "etcd", "etcdctl", "etcdutl"),
		make(podnetImage, nil, "podnet"),
		make(helperImage, nil),
	}
	elsewhere = []image{
		make(registry+"coredns/coredns:"+b.versions["coredns"], []string{"coredns"}, "coredns"),
		make(b.provisionerImage(), nil, "local-path-provisioner"),
	}
	for n := range elsewhere {
		if err == nil {
			elsewhere[n], err = elsewhere[n].compressed()
		}
	}
	return everywhere, elsewhere, err
}

// toolsLayer takes the shared layer out of the node's own system.
func (b *Builder) toolsLayer(ctx context.Context, container, work string) (layer, error) {
	out, err := b.engine.Exec(ctx, container, "bash", "/build/tools.sh")
	if err != nil {
		return layer{}, fmt.Errorf("collect the tools of the preloaded images: %w", err)
	}
	path := filepath.Join(work, "tools.tar")
	if err := os.WriteFile(path, out, 0o644); err != nil {
		return layer{}, err
	}
	return layerOf(path)
}
