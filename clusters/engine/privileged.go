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

// StartPrivileged really starts a privileged container, and removes it and
// its tiny image again. It is what every kind node needs.
func (e *Engine) StartPrivileged(ctx context.Context) error {
	image := "faultline/probe:" + strings.ToLower(rand.Text())
	archive, err := probeArchive(ctx)
	if err != nil {
		return err
	}
	if _, err := e.RunInput(ctx, archive, "import", "--change", `ENTRYPOINT ["/probe"]`, "-", image); err != nil {
		return fmt.Errorf("import a tiny image: %w", err)
	}
	defer func() { _, _ = e.Run(context.WithoutCancel(ctx), "rmi", "-f", image) }()
	_, err = e.Run(ctx, "run", "--rm", "--privileged", "--network=none", "--label", "faultline.build=probe", image)
	return err
}

// probeArchive is a root filesystem with nothing but the probe program in it.
func probeArchive(ctx context.Context) (*bytes.Buffer, error) {
	dir, err := os.MkdirTemp("", "faultline-probe-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
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
