package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"faultline/clusters/engine/workspace"
)

const (
	// probeLabel is on the container and the image of a probe; cleaning up goes by it.
	probeLabel = "faultline.build=probe"
	// probeLock is held while there is one.
	probeLock = "probe"
)

// StartPrivileged really starts a privileged container, and removes it and
// its tiny image again. It is what every kind node needs.
func (e *Engine) StartPrivileged(ctx context.Context) error {
	release, err := workspace.Lock(ctx, probeLock)
	if err != nil {
		return err
	}
	defer release()
	image := "faultline/probe:" + strings.ToLower(rand.Text())
	archive, err := probeArchive(ctx)
	if err != nil {
		return err
	}
	if _, err := e.RunInput(ctx, archive, "import", "--change", `ENTRYPOINT ["/probe"]`, "--change", "LABEL "+probeLabel, "-", image); err != nil {
		return fmt.Errorf("import a tiny image: %w", err)
	}
	defer func() { _, _ = e.Run(context.WithoutCancel(ctx), "rmi", "-f", image) }()
	_, err = e.Run(ctx, "run", "--rm", "--privileged", "--network=none", "--label", probeLabel, image)
	return err
}

// SweepProbes removes what probes that were killed have left. One that is under way is left alone.
func (e *Engine) SweepProbes(ctx context.Context) error {
	release, free, err := workspace.TryLock(probeLock)
	if err != nil || !free {
		return err
	}
	defer release()
	for _, kind := range []struct{ list, remove []string }{
		{[]string{"ps", "-aq"}, []string{"rm", "-f", "-v"}},
		{[]string{"images", "-q"}, []string{"rmi", "-f"}},
	} {
		out, err := e.Run(ctx, append(kind.list, "--filter", "label="+probeLabel)...)
		if err != nil {
			return fmt.Errorf("list what probes have left: %w", err)
		}
		if ids := strings.Fields(string(out)); len(ids) > 0 {
			if _, err := e.Run(ctx, append(kind.remove, ids...)...); err != nil {
				return fmt.Errorf("remove what probes have left: %w", err)
			}
		}
	}
	return nil
}

// probeArchive is a root filesystem with nothing but the probe program in it.
func probeArchive(ctx context.Context) (*bytes.Buffer, error) {
	dir, remove, err := workspace.Temporary(ctx, "probe")
	if err != nil {
		return nil, err
	}
	defer remove()
	program := filepath.Join(dir, "probe")
	if err := workspace.Build(ctx, "clusters/engine/probe", program); err != nil {
		return nil, fmt.Errorf("build the probe: %w", err)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "probe", Mode: 0o755, Size: int64(len(content))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	return &archive, w.Close()
}
