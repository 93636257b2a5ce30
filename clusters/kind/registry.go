package kind

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sync/errgroup"

	"faultline/clusters"
	"faultline/clusters/engine/workspace"
)

const (
	registryProgram = "/usr/local/bin/registry"
	registryPort    = "5000"
)

const registryUnit = `[Unit]
Description=Registry of images
StartLimitIntervalSec=0
[Service]
Type=exec
ExecStart=` + registryProgram + ` -listen :` + registryPort + ` -dir /var/lib/registry
Restart=always
RestartSec=1s
[Install]
WantedBy=multi-user.target
`

// registryPatch makes containerd look into a folder for who a registry is. containerd
// reads it at every pull, so that the folder may be filled later.
const registryPatch = `[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
`

// hostsFile tells containerd who the registry is. Its network is closed to the outside,
// so that it needs no TLS.
const hostsFile = `server = "http://%[1]s"
[host."http://%[1]s"]
  capabilities = ["pull", "resolve"]
`

// startRegistry brings the machine's registry up, puts the workload's image into it and
// tells the nodes about it. It returns the image's name in the registry.
func startRegistry(ctx context.Context, c *clusters.Cluster, o Options) (image string, err error) {
	servers := c.With(clusters.Registry)
	if len(servers) == 0 {
		return "", fmt.Errorf("topology %s has no member with the role %s", c.Topology.Name, clusters.Registry)
	}
	server := servers[0]
	if err := installRegistry(ctx, server, filepath.Join(o.Dir, c.Name)); err != nil {
		return "", err
	}
	if err := writeFiles(ctx, server, file{path: "/etc/systemd/system/registry.service", content: []byte(registryUnit), public: true}); err != nil {
		return "", err
	}
	if err := startServices(ctx, server, "registry.service"); err != nil {
		return "", err
	}
	archive, err := o.Engine.Run(ctx, "save", o.Images.Workload)
	if err != nil {
		return "", fmt.Errorf("save image %s: %w", o.Images.Workload, err)
	}
	address := net.JoinHostPort(server.Address, registryPort)
	if err := push(ctx, archive, address+"/"+o.Images.Workload); err != nil {
		return "", fmt.Errorf("push an image to %s: %w", server.Name, err)
	}
	return clusters.RegistryName + "/" + o.Images.Workload, introduce(ctx, c, address)
}

// installRegistry builds the registry's program and puts it on the machine. It is not
// part of the node image: one machine needs it, and kind's own image does not have it.
func installRegistry(ctx context.Context, n *clusters.Node, dir string) error {
	program := filepath.Join(dir, "registry")
	if err := workspace.Build(ctx, "clusters/images/registry", program); err != nil {
		return fmt.Errorf("build the registry: %w", err)
	}
	content, err := os.Open(program)
	if err != nil {
		return err
	}
	defer content.Close()
	return install(ctx, n, registryProgram, content)
}

// install writes a program on a node.
func install(ctx context.Context, n *clusters.Node, path string, program io.Reader) error {
	if _, err := n.ExecInput(ctx, program, "install", "-D", "-m", "755", "/dev/stdin", path); err != nil {
		return fmt.Errorf("install %s on %s: %w", path, n.Name, err)
	}
	return nil
}

// push puts an image, archived as by "docker save", into a registry, with a layer added
// that no other image has: a node that runs it must have pulled it, although every node
// has the rest. It waits for the registry to answer.
func push(ctx context.Context, archive []byte, reference string) error {
	image, err := tarball.Image(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }, nil)
	if err != nil {
		return err
	}
	if image, err = marked(image); err != nil {
		return err
	}
	tag, err := name.NewTag(reference, name.Insecure)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	// A proxy that this machine's environment names does not lead to the cluster's network.
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	return clusters.Await(ctx, 250*time.Millisecond, "the registry to take "+reference, func(ctx context.Context) error {
		return remote.Write(tag, image, remote.WithContext(ctx), remote.WithTransport(transport))
	})
}

// mark is the file in the layer that only images from the registry have.
const mark = "from-registry"

func marked(image v1.Image) (v1.Image, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: mark, Mode: 0o644, Size: int64(len(clusters.RegistryName))}); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(w, clusters.RegistryName); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(image, layer)
}

// introduce tells every node's containerd who the registry is.
func introduce(ctx context.Context, c *clusters.Cluster, address string) error {
	hosts := file{path: "/etc/containerd/certs.d/" + clusters.RegistryName + "/hosts.toml", content: fmt.Appendf(nil, hostsFile, address), public: true}
	var group errgroup.Group
	for _, n := range c.Nodes {
		if n.Role.Kubernetes() {
			group.Go(func() error { return writeFiles(ctx, n, hosts) })
		}
	}
	return group.Wait()
}
