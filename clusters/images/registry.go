package images

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"sigs.k8s.io/kind/pkg/apis/config/defaults"
)

// loadBalancerImage is the image that kind v0.33 runs as load balancer. Kind
// does not let anybody choose another, so ours takes this name.
const loadBalancerImage = "docker.io/envoyproxy/envoy:v1.36.2"

// hub is what has to answer for kind's images to be pulled.
const hub = "https://registry-1.docker.io/v2/"

// Reachable asks whether the registry that has kind's images answers, and
// fails within five seconds.
func Reachable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, hub, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("no registry answers: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusUnauthorized {
		return fmt.Errorf("the registry %s answers %s", hub, response.Status)
	}
	return nil
}

// nodeImage is the node image to pull.
func (m *maker) nodeImage() string {
	if m.node != "" {
		return m.node
	}
	return defaults.Image
}

// fromRegistry decides between pulling and building.
func (m *maker) fromRegistry(ctx context.Context) bool {
	switch {
	case m.node != "" || m.forced == Registry:
		return true
	case m.forced == Offline:
		return false
	}
	return Reachable(ctx) == nil
}

// pulled tells whether the engine has kind's images already, equipped, with the
// real Envoy or, beside a node image of the user's own, any load balancer.
func (m *maker) pulled(ctx context.Context) (Set, bool) {
	set := Set{Node: m.builder.EquippedImage(m.nodeImage()), Origin: Registry}
	return set, m.has(ctx, set.Node) && m.builder.LoadBalancerReady(ctx, loadBalancerImage)
}

// pull gets kind's images with the engine, and equips the nodes'. Beside a node image
// of the user's own that the engine has already, the load balancer may have to be built.
func (m *maker) pull(ctx context.Context) (set Set, err error) {
	if base := m.nodeImage(); !m.has(ctx, base) {
		if err := m.pullOne(ctx, base); err != nil {
			return Set{}, err
		}
	}
	set.Origin = Registry
	if set.Node, err = m.builder.Equip(ctx, m.nodeImage()); err != nil {
		return Set{}, err
	}
	switch {
	case m.builder.LoadBalancerReady(ctx, loadBalancerImage):
		return set, nil
	case m.forced == Registry || Reachable(ctx) == nil:
		return set, m.pullOne(ctx, loadBalancerImage)
	default:
		return set, m.builder.LoadBalancer(ctx, loadBalancerImage)
	}
}

func (m *maker) pullOne(ctx context.Context, image string) error {
	step := m.progress.Step("pull "+image, time.Minute)
	_, err := m.engine.Run(ctx, "pull", image)
	step.Done(err)
	if err != nil && image == m.node {
		return fmt.Errorf("pull the image that FAULTLINE_NODE_IMAGE names: %w", err)
	}
	if err != nil {
		return fmt.Errorf("pull an image (FAULTLINE_IMAGES=offline builds instead): %w", err)
	}
	return nil
}
