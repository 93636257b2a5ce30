package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/kind/pkg/apis/config/defaults"

	"faultline/clusters/engine"
	"faultline/clusters/engine/workspace"
	"faultline/clusters/images/internal/offline"
)

// Clean removes what builds left that were killed, and what Prune does, whose answer it returns.
// What another process builds meanwhile is left alone.
func Clean(ctx context.Context, e *engine.Engine, say func(format string, args ...any)) (outdated []string, err error) {
	if err := errors.Join(sweep(ctx, e, say), e.SweepProbes(ctx), workspace.Sweep(ctx)); err != nil {
		return nil, err
	}
	return Prune(ctx, e)
}

// sweep removes the containers and folders of killed builds, unless there is one that lives.
func sweep(ctx context.Context, e *engine.Engine, say func(format string, args ...any)) error {
	release, free, err := workspace.TryLock(buildLock)
	if err != nil {
		return err
	}
	if !free {
		say("another process is making images: what it works with is left alone")
		return nil
	}
	defer release()
	b, err := offline.New(e, nil)
	if err != nil {
		return err
	}
	return b.Sweep(ctx)
}

// Prune removes images that earlier recipes left behind, and returns their
// names. What this checkout uses, and what a container uses, stays.
func Prune(ctx context.Context, e *engine.Engine) (removed []string, err error) {
	b, err := offline.New(e, nil)
	if err != nil {
		return nil, err
	}
	current, err := b.Names()
	if err != nil {
		return nil, err
	}
	current = append(current, b.EquippedImage(defaults.Image), b.EquippedImage(os.Getenv("FAULTLINE_NODE_IMAGE")))
	out, err := e.Run(ctx, "images", "--filter", "label="+BuildLabel+"=image", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
	if err != nil {
		return nil, fmt.Errorf("list the images built here: %w", err)
	}
	for _, image := range outdated(string(out), current) {
		if _, err := e.Run(ctx, "rmi", image); err == nil {
			removed = append(removed, image)
		}
	}
	return removed, ctx.Err()
}

// outdated picks, from lines of name and ID, what no recipe names any more.
// An image without a name goes by its ID. The load balancer's name is kind's
// and not ours, so it stays.
func outdated(lines string, current []string) (images []string) {
	for line := range strings.Lines(lines) {
		name, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case strings.HasPrefix(name, "<none>"):
			images = append(images, id)
		case strings.Contains(name, "faultline/") && !slices.ContainsFunc(current, func(c string) bool { return strings.HasSuffix(name, c) }):
			images = append(images, name)
		}
	}
	return images
}
