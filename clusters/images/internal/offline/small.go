package offline

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"faultline/clusters/engine/workspace"
)

// Workload builds the image of the project's own workload, unless the engine
// has it. No registry has this one.
func (b *Builder) Workload(ctx context.Context) (string, error) {
	name, err := b.WorkloadImage()
	if err != nil || b.exists(ctx, name) {
		return name, err
	}
	step := b.progress.Step("build "+name, 5*time.Second)
	err = b.buildWorkload(ctx, name)
	step.Done(err)
	return name, err
}

// WorkloadImage is the name of the workload image of these sources.
func (b *Builder) WorkloadImage() (string, error) {
	sum, err := hashSources(filepath.Join(b.root, "clusters/images/workload"))
	return "faultline/workload:" + sum, err
}

func (b *Builder) buildWorkload(ctx context.Context, name string) error {
	work, err := os.MkdirTemp(b.cache, "workload-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	program := filepath.Join(work, "workload")
	if err := workspace.Build(ctx, "clusters/images/workload", program); err != nil {
		return fmt.Errorf("build the workload: %w", err)
	}
	var archive bytes.Buffer
	files := []entry{{name: "workload", mode: 0o755, disk: program}, {name: "tmp/.keep", mode: 0o644}}
	if err := writeEntries(&archive, files); err != nil {
		return err
	}
	_, err = b.engine.RunInput(ctx, &archive, "import",
		"--change", `ENTRYPOINT ["/workload"]`, "--change", `CMD ["serve"]`, "--change", "LABEL "+BuildLabel+"=image", "-", name)
	return err
}

// LoadBalancer makes sure that the engine has an image under kind's name for
// its load balancer. A real Envoy under that name is left alone.
func (b *Builder) LoadBalancer(ctx context.Context, name string) error {
	current, err := b.loadBalancerHash()
	if err != nil {
		return err
	}
	if b.exists(ctx, name) {
		if built := b.label(ctx, name, RecipeLabel); built == "" || built == current {
			return nil
		}
	}
	if err := b.rootfs(ctx); err != nil {
		return err
	}
	step := b.progress.Step("build the load balancer (HAProxy in Envoy's place)", 10*time.Second)
	err = b.buildLoadBalancer(ctx, name, current)
	step.Done(err)
	return err
}

func (b *Builder) loadBalancerHash() (string, error) {
	sources, err := hashSources(filepath.Join(b.root, "clusters/images/loadbalancer"))
	if err != nil {
		return "", err
	}
	recipe, err := hashFiles(filepath.Join(b.root, "clusters/images/internal/offline/small.go"))
	if err != nil {
		return "", err
	}
	modules, err := hashModules(filepath.Join(b.root, "go.mod"))
	return hash(sources, recipe, modules, b.rootfsImage()), err
}

// LoadBalancerReady tells whether the engine has the load balancer's image
// and, if we built it, whether it is of this recipe.
func (b *Builder) LoadBalancerReady(ctx context.Context, name string) bool {
	current, err := b.loadBalancerHash()
	if err != nil || !b.exists(ctx, name) {
		return false
	}
	built := b.label(ctx, name, RecipeLabel)
	return built == "" || built == current
}

// LoadBalancerKind is haproxy for an image that we built, otherwise envoy.
func (b *Builder) LoadBalancerKind(ctx context.Context, name string) string {
	if kind := b.label(ctx, name, LoadBalancerLabel); kind != "" {
		return kind
	}
	return "envoy"
}

func (b *Builder) buildLoadBalancer(ctx context.Context, name, sum string) error {
	work, err := os.MkdirTemp(b.cache, "loadbalancer-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	program := filepath.Join(work, "envoy")
	if err := workspace.Build(ctx, "clusters/images/loadbalancer", program); err != nil {
		return fmt.Errorf("build the load balancer: %w", err)
	}
	container, remove, err := b.container(ctx, "loadbalancer", "--network=none", b.rootfsImage(), "sleep", "infinity")
	if err != nil {
		return fmt.Errorf("start the build container: %w", err)
	}
	defer remove()
	if err := b.unpack(ctx, container, []entry{{name: "usr/local/bin/envoy", mode: 0o755, disk: program}}); err != nil {
		return err
	}
	labels := strings.Join([]string{BuildLabel + "=image", RecipeLabel + "=" + sum, LoadBalancerLabel + "=haproxy"}, " ")
	if _, err := b.engine.Run(ctx, "commit", "--change", `CMD ["bash"]`, "--change", "LABEL "+labels, container, name); err != nil {
		return fmt.Errorf("commit the load balancer's image: %w", err)
	}
	return nil
}
