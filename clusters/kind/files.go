package kind

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"strings"

	"faultline/clusters"
)

// file is a file to write on a node. It is private unless it may be read by all.
type file struct {
	path    string
	content []byte
	public  bool
}

// writeFiles writes files on a node, all with one command. They appear one by one.
func writeFiles(ctx context.Context, n *clusters.Node, files ...file) error {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, f := range files {
		mode := int64(0o600)
		if f.public {
			mode = 0o644
		}
		header := tar.Header{Name: strings.TrimPrefix(f.path, "/"), Mode: mode, Size: int64(len(f.content))}
		if err := w.WriteHeader(&header); err != nil {
			return err
		}
		if _, err := w.Write(f.content); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	if _, err := n.ExecInput(ctx, &archive, "tar", "-x", "-C", "/", "--no-overwrite-dir"); err != nil {
		return fmt.Errorf("write files on %s: %w", n.Name, err)
	}
	return nil
}
